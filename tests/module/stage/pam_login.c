// SPDX-License-Identifier: MIT
// CONFDIR SERVICE USER: a login. With one argument more, it is cancelled.
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { SUCCESS = 0, CONV_ERR = 19 };

struct conversation {
	int (*ask)(int count, const void **questions, void **answers, void *data);
	void *data;
};

int pam_start_confdir(const char *service, const char *user, const struct conversation *, const char *confdir, void **handle);
int pam_open_session(void *handle, int flags);
int pam_close_session(void *handle, int flags);
int pam_end(void *handle, int status);

static int nobody_answers(int count, const void **questions, void **answers, void *data) { return CONV_ERR; }

static bool log_in(void *handle)
{
	return pam_open_session(handle, 0) == SUCCESS && pam_close_session(handle, 0) == SUCCESS;
}

static bool cleaned_up;

static void clean_up(void *unused) { cleaned_up = true; }

static void *cancelled(void *handle)
{
	pthread_cleanup_push(clean_up, NULL);
	pthread_cancel(pthread_self()); // at its next cancellation point, pthreads(7), which the module comes to
	log_in(handle);
	pthread_cleanup_pop(0);
	return NULL;
}

// Whether a thread that is cancelled in the module has its clean-up.
static bool cancel(void *handle)
{
	pthread_t thread;
	void *ended;

	return pthread_create(&thread, NULL, cancelled, handle) == 0 && pthread_join(thread, &ended) == 0 &&
	       ended == PTHREAD_CANCELED && cleaned_up;
}

int main(int argc, char **argv)
{
	const struct conversation conversation = {nobody_answers, NULL};
	void *handle;

	if (argc < 4 || pam_start_confdir(argv[2], argv[3], &conversation, argv[1], &handle) != SUCCESS) return 1;
	if (argc > 4) return !cancel(handle); // libpam ends no handle that is in a call
	return !log_in(handle) || pam_end(handle, SUCCESS) != SUCCESS;
}
