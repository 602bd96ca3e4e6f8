// SPDX-License-Identifier: MIT
// client MODULE FOLDER USER: opens and closes a session of USER through libpam and the service file FOLDER/port, and prints
// codes, ids, the session keyring and what libpam sends to /dev/log. What has to be refused goes to MODULE past libpam.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

typedef struct pam_handle pam_handle;
struct pam_conv {
    int (*converse)(int, const void **, void **, void *);
    void *data;
};
int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle **);
int pam_open_session(pam_handle *, int);
int pam_close_session(pam_handle *, int);
int pam_setcred(pam_handle *, int);
int pam_end(pam_handle *, int);

typedef int call(pam_handle *, int, int, const char **);
enum { ESTABLISH = 2, DELETE = 4, DESCRIBE = 6, READ = 11, SESSION = -3 };
static int logged;

static void *must(void *pointer, const char *what) {
    if (!pointer) {
        fprintf(stderr, "%s: %s\n", what, dlerror());
        exit(1);
    }
    return pointer;
}

static void print_log(void) {
    char line[1024];
    for (ssize_t size; (size = recv(logged, line, sizeof line - 1, MSG_DONTWAIT)) >= 0;) {
        line[size] = 0;
        line[strcspn(line, "\n")] = 0;
        printf("  %s\n", strchr(line, '>') + sizeof ">Nov 25 12:00:00");
    }
}

static void print_ids(void) {
    uid_t uid[3];
    gid_t gid[3];
    getresuid(uid, uid + 1, uid + 2);
    getresgid(gid, gid + 1, gid + 2);
    printf("  ids %u %u %u, %u %u %u\n", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2]);
}

static void print_keyring(void) {
    char text[256] = "";
    int links[8];
    if (syscall(SYS_keyctl, DESCRIBE, SESSION, text, sizeof text) < 0) {
        printf("  session keyring: %s\n", strerror(errno));
        return;
    }
    long size = syscall(SYS_keyctl, READ, SESSION, links, sizeof links);
    printf("  session keyring: %s, %ld links\n", text, size / 4);
}

static void print(const char *name, int code) {
    printf("%s: %d\n", name, code);
    print_log();
    print_ids();
    print_keyring();
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct sockaddr_un address = {AF_UNIX, "/dev/log"};
    unlink(address.sun_path);
    logged = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (bind(logged, (struct sockaddr *)&address, sizeof address) != 0) return perror("/dev/log"), 1;

    openlog("client", 0, LOG_AUTHPRIV); // by itself musl knows no name
    void *module = must(dlopen(argv[1], RTLD_NOW), argv[1]);
    call *open = (call *)must(dlsym(module, "pam_sm_open_session"), "open");
    call *close = (call *)must(dlsym(module, "pam_sm_close_session"), "close");
    call *set = (call *)must(dlsym(module, "pam_sm_setcred"), "setcred");
    call *authenticate = (call *)must(dlsym(module, "pam_sm_authenticate"), "authenticate");
    const struct pam_conv conversation = {NULL, NULL};
    pam_handle *handle = NULL;
    printf("start: %d\n", pam_start_confdir("port", argv[3], &conversation, argv[2], &handle));
    print_log();
    print_ids();
    const char *null[] = {NULL};
    printf("open, no handle: %d\n", open(NULL, 0, 0, NULL));
    printf("setcred, no handle: %d\n", set(NULL, ESTABLISH, 0, NULL));
    printf("open, argc -1: %d\n", open(handle, 0, -1, null));
    printf("close, null in argv: %d\n", close(handle, 0, 1, null));
    printf("setcred, no argv: %d\n", set(handle, DELETE, 1, NULL));
    print_log();
    printf("authenticate: %d\n", authenticate(NULL, 0, -1, NULL));

    print("open", pam_open_session(handle, 0));
    print("close", pam_close_session(handle, 0));
    print("establish", pam_setcred(handle, ESTABLISH));
    print("delete", pam_setcred(handle, DELETE));
    print("end", pam_end(handle, 0));
    return 0;
}
