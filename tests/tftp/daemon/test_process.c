/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The process: what it may do, how it ends, and the one it has started.
 */
#include "daemon.h"

#include <arpa/inet.h>
#include <time.h>

#include "writer.h"

static void status_field(pid_t pid, const char *key, char *ret, size_t len)
{
	char path[64], line[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	*ret = '\0';
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(key);

		if (strncmp(line, key, n) == 0 && line[n] == ':') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(ret, len, "%s", line + n + 2);
		}
	}
	(void)fclose(f);
}

static void expect_rights(pid_t pid, const char *caps)
{
	char text[128];

	status_field(pid, "CapEff", text, sizeof(text));
	assert_string_equal(text, caps);
	status_field(pid, "CapPrm", text, sizeof(text));
	assert_string_equal(text, caps);
	status_field(pid, "CapBnd", text, sizeof(text));
	assert_string_equal(text, "0000000000000000");
	status_field(pid, "NoNewPrivs", text, sizeof(text));
	assert_string_equal(text, "1");
	status_field(pid, "Seccomp", text, sizeof(text));
	assert_string_equal(text, "2"); /* a filter */
	status_field(pid, "Uid", text, sizeof(text));
	assert_string_equal(text, "65534\t65534\t65534\t65534");
}

/* The one process the daemon has started. */
static pid_t reader_of_marks(void)
{
	char path[64];
	long pid = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", lab.daemon, lab.daemon);
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pid), 1); /* NOLINT: the kernel's own number */
	(void)fclose(f);
	return (pid_t)pid;
}

static void daemon_keeps_one_capability(void **state)
{
	expect_rights(lab.daemon, "0000000000000004"); /* CAP_DAC_READ_SEARCH */
}

static void daemon_cannot_write_to_what_it_sees(void **state)
{
	sh("nsenter -t %d -m test -e %s/store/clients", lab.daemon, lab.dir);
	sh("! nsenter -t %d -m touch %s/store/clients/made 2>%s/err", lab.daemon, lab.dir, lab.dir);
	sh("grep -q 'Read-only file system' %s/err && ! test -e %s/store/clients/made", lab.dir,
	   lab.dir);
}

static void its_reader_of_marks_keeps_another_and_no_socket_of_the_network(void **state)
{
	pid_t pid = reader_of_marks();

	expect_rights(pid, "0000000000200000"); /* CAP_SYS_ADMIN */
	sh("[ \"$(ls /proc/%d/fd | tr '\\n' ' ')\" = '0 1 2 3 ' ]", pid);
}

static int exit_status(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null < 0 || dup2(null, 2) < 0)
			_exit(97);
		(void)alarm(10);
		lab_exec(lab.program, argv);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define EXIT_STATUS(...) exit_status((const char *const[]){"cowherd-tftpd", __VA_ARGS__, NULL})

static void exit_status_says_what_is_wrong(void **state)
{
	char *store = strdup(at("store"));
	struct sockaddr_in taken = {.sin_family = AF_INET, .sin_port = htons(7070)};
	struct tftp_client c = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};

	assert_non_null(store);
	assert_int_equal(bind(c.fd, (struct sockaddr *)&taken, sizeof(taken)), 0);
	assert_int_equal(EXIT_STATUS("--frobnicate"), 2);
	assert_int_equal(EXIT_STATUS("--listen", "1.2.3.4.5"), 2);
	assert_int_equal(EXIT_STATUS("--listen", "127.0.0.1:65536"), 2);
	assert_int_equal(EXIT_STATUS("--nfs-version", "5"), 2);
	assert_int_equal(EXIT_STATUS("stray"), 2);
	assert_int_equal(EXIT_STATUS("--store", "/nonexistent"), 3);
	assert_int_equal(EXIT_STATUS("--store", store, "--listen", "0.0.0.0:7070"), 4);
	assert_int_equal(EXIT_STATUS("--store", store, "--listen", "192.0.2.1:7071"), 1);
	assert_int_equal(
	    EXIT_STATUS("--store", store, "--listen", "127.0.0.1:7072", "--user", "no-such-user"),
	    3);
	assert_int_equal(
	    EXIT_STATUS("--store", store, "--listen", "127.0.0.1:7073", "--event-fd", "99"), 1);
	tftp_client_close(&c);
	free(store);
}

static int end_of_daemon(void)
{
	int status = 0;

	for (int i = 0; i < 50 && waitpid(lab.daemon, &status, WNOHANG) == 0; i++)
		(void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	assert_true(WIFEXITED(status));
	lab.daemon = 0;
	return WEXITSTATUS(status);
}

static void gone(pid_t pid)
{
	for (int i = 0; i < 50 && kill(pid, 0) == 0; i++)
		(void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	assert_int_equal(kill(pid, 0), -1);
}

static void sigterm_ends_it_cleanly(void **state)
{
	pid_t reader = reader_of_marks();

	assert_int_equal(kill(lab.daemon, SIGTERM), 0);
	assert_int_equal(end_of_daemon(), 0);
	gone(reader);
}

static void killed_it_takes_its_reader_of_marks_along(void **state)
{
	start_another();
	pid_t reader = reader_of_marks();

	assert_int_equal(kill(lab.daemon, SIGKILL), 0);
	assert_int_equal(waitpid(lab.daemon, NULL, 0), lab.daemon);
	lab.daemon = 0;
	gone(reader);
}

/* Better no server, which its supervisor starts again, than one that is blind for marks. */
static void without_its_reader_of_marks_it_ends(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct tftp_fetch f = {.name = MAC_B "/config.txt", .patience_ms = 1000};
	struct tftp_client c;

	if (lab.backend != COW_BACKEND_OVERLAY)
		skip();
	struct writer w = writer_begin(MAC_B);

	writer_put(&w, "config.txt", "changed\n", 8); /* marks are of what is not the image's alone */
	writer_end(&w);
	start_another();
	assert_int_equal(kill(reader_of_marks(), SIGKILL), 0);
	assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
	assert_int_equal(tftp_client_open(&c, "10.99.0.2", &to), 0);
	assert_true(tftp_client_fetch(&c, &f) < 0);
	tftp_client_close(&c);
	free(f.data);
	assert_int_equal(end_of_daemon(), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(daemon_keeps_one_capability),
	    cmocka_unit_test(daemon_cannot_write_to_what_it_sees),
	    cmocka_unit_test(its_reader_of_marks_keeps_another_and_no_socket_of_the_network),
	    cmocka_unit_test(exit_status_says_what_is_wrong),
	    cmocka_unit_test(sigterm_ends_it_cleanly),
	    cmocka_unit_test(killed_it_takes_its_reader_of_marks_along),
	    cmocka_unit_test(without_its_reader_of_marks_it_ends),
	};
	int r = daemon_begin(argc, argv, "test_process");

	return r ? r : cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
