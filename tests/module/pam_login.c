// SPDX-License-Identifier: MIT
// A login as small as it can be, for a debugger to look at: CONFDIR SERVICE USER.

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

int main(int argc, char **argv)
{
	const struct conversation conversation = {nobody_answers, 0};
	void *handle;

	if (argc != 4 || pam_start_confdir(argv[2], argv[3], &conversation, argv[1], &handle) != SUCCESS) return 1;
	int opened = pam_open_session(handle, 0);
	int closed = pam_close_session(handle, 0);
	return pam_end(handle, opened != SUCCESS ? opened : closed) != SUCCESS || opened != SUCCESS || closed != SUCCESS;
}
