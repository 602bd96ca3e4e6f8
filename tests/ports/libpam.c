// SPDX-License-Identifier: MIT
// As much of libpam as client.c and the module need, for where Debian has none. The last line of the service file is every stack.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

typedef struct pam_handle pam_handle;
typedef int call(pam_handle *, int, int, const char **);
typedef void cleanup(pam_handle *, void *, int);
enum { PERM_DENIED = 6, NO_MODULE_DATA = 18, IGNORE = 25, MODULE_UNKNOWN = 28, BAD_ITEM = 29, USER = 2 };
struct pam_handle {
    const char *service, *user, *type;
    void *module, *data;
    cleanup *end;
    char words[8][256]; // type, control, module, arguments
    int count;
};

int pam_start_confdir(const char *service, const char *user, const void *conversation, const char *folder, pam_handle **handle) {
    (void)conversation;
    char line[1024];
    pam_handle *h = *handle = calloc(1, sizeof *h);
    snprintf(line, sizeof line, "%s/%s", folder, service);
    FILE *file = fopen(line, "r");
    while (file && fgets(line, sizeof line, file)) {
        h->count = 0;
        for (char *word = strtok(line, " \n"); word && h->count < 8; word = strtok(NULL, " \n"))
            strcpy(h->words[h->count++], word);
    }
    if (file) fclose(file);
    h->service = service, h->user = user, h->module = dlopen(h->words[2], RTLD_NOW);
    return h->module ? 0 : MODULE_UNKNOWN;
}

static int run(pam_handle *h, const char *type, const char *name, int flags) {
    const char *words[8];
    for (int i = 0; i < h->count; i++) words[i] = h->words[i];
    h->type = type;
    int code = ((call *)dlsym(h->module, name))(h, flags, h->count - 3, words + 3);
    return code == IGNORE ? PERM_DENIED : code; // as libpam does where no module of a stack says anything else
}

int pam_open_session(pam_handle *h, int flags) { return run(h, "session", "pam_sm_open_session", flags); }
int pam_close_session(pam_handle *h, int flags) { return run(h, "session", "pam_sm_close_session", flags); }
int pam_setcred(pam_handle *h, int flags) { return run(h, "setcred", "pam_sm_setcred", flags); }

int pam_end(pam_handle *h, int status) {
    if (h->end) h->end(h, h->data, status);
    dlclose(h->module);
    free(h);
    return 0;
}

int pam_get_user(pam_handle *h, const char **user, const char *prompt) {
    (void)prompt;
    *user = h->user;
    return 0;
}

int pam_get_item(pam_handle *h, int item, const void **value) {
    *value = h->user;
    return item == USER ? 0 : BAD_ITEM;
}

int pam_get_data(pam_handle *h, const char *name, const void **data) {
    (void)name;
    *data = h->data;
    return h->data ? 0 : NO_MODULE_DATA;
}

int pam_set_data(pam_handle *h, const char *name, void *data, cleanup *end) {
    (void)name;
    h->data = data, h->end = end;
    return 0;
}

struct passwd *pam_modutil_getpwnam(pam_handle *h, const char *user) {
    (void)h;
    return getpwnam(user);
}

void pam_syslog(pam_handle *h, int priority, const char *format, ...) {
    char prefixed[1024] = "PAM ";
    if (h && h->type) snprintf(prefixed, sizeof prefixed, "pam_keyinit(%s:%s): ", h->service, h->type);
    strcat(prefixed, format);
    openlog("client", 0, LOG_AUTHPRIV);
    va_list arguments;
    va_start(arguments, format);
    vsyslog(priority, prefixed, arguments);
    va_end(arguments);
}
