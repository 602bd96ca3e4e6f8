// SPDX-License-Identifier: MIT
// A module that writes down its calls, and answers what its arguments say: "open=14" is PAM_SESSION_ERR for an open.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int record(const char *call, int argc, const char **argv)
{
    int answer = 0;
    size_t length = strlen(call);
    int calls = open("/calls", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    write(calls, call, length);
    for (int i = 0; i < argc; i++) {
        write(calls, "|", 1);
        write(calls, argv[i], strlen(argv[i]));
        if (strncmp(argv[i], call, length) == 0 && argv[i][length] == '=')
            answer = atoi(argv[i] + length + 1);
    }
    write(calls, "", 1); // its NUL: arguments may have newlines
    close(calls);
    return answer;
}

#define ENTRY(function, call)                                                   \
    int function(void *pamh, int flags, int argc, const char **argv)           \
    {                                                                           \
        (void)pamh, (void)flags;                                                \
        return record(call, argc, argv);                                        \
    }

ENTRY(pam_sm_authenticate, "auth")
ENTRY(pam_sm_setcred, "cred")
ENTRY(pam_sm_acct_mgmt, "account")
ENTRY(pam_sm_open_session, "open")
ENTRY(pam_sm_close_session, "close")
