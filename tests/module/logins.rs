// SPDX-License-Identifier: MIT
//! Real logins.
crate::cases! {}
