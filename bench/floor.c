/* The floor of the benchmark: what durable delivery costs when nothing else is done.
 *
 * Usage: floor PORT ROOT
 *
 * A thread for each connection. A message is written to ROOT/domain/local/tmp/ as it comes off the
 * socket, fsynced, hard-linked into new/ of all recipients but the first and renamed into that of
 * the first, and each new/ is fsynced: the calls without which a 250 would be a lie, and no other.
 * No header, no look-up, no conversion of line ends, no log.
 *
 * It speaks just enough LMTP for the client beside it and trusts it entirely; in particular the
 * address is used as a path. It must never listen on anything but loopback, nor be used for mail.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define REPLIES 16384
#define RECIPIENTS 100
#define PATH 128 /* domain/local */
#define NAME 64
#define FILE_PATH (PATH + NAME + sizeof "/new/")
#define END_OF_DATA "\r\n.\r\n"
#define END_LENGTH 5
#define STACK (64 * 1024)

struct session {
    int socket;
    char *in;
    size_t length;
    char replies[REPLIES];
    size_t replies_length;
    char recipients[RECIPIENTS][PATH];
    int recipient_count;
};

static int root;
static atomic_ulong serial;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Replies are gathered and leave before the next read: a pipelined batch gets one write. */
static void reply(struct session *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    s->replies_length += (size_t)vsnprintf(s->replies + s->replies_length,
                                           REPLIES - s->replies_length, format, arguments);
    va_end(arguments);
}

static bool flush(struct session *s) {
    for (size_t at = 0; at < s->replies_length;) {
        ssize_t sent = send(s->socket, s->replies + at, s->replies_length - at, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += (size_t)sent;
    }
    s->replies_length = 0;
    return true;
}

static bool fill(struct session *s) {
    if (!flush(s) || s->length == BUFFER) return false;
    ssize_t got = recv(s->socket, s->in + s->length, BUFFER - s->length, 0);
    if (got <= 0) return false;
    s->length += (size_t)got;
    return true;
}

static void write_all(int fd, const char *from, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, from, size);
        if (written < 0) fail("write");
        from += written;
        size -= (size_t)written;
    }
}

/* Copy the message to the file up to its end, which stands at the end of what was read: the client
 * sends nothing behind it until it has our reply. The last octets of each read are kept back, for
 * they may be the first half of the end. */
static bool receive(struct session *s, int fd) {
    s->length = 0;
    for (;;) {
        if (!fill(s)) return false;
        if (s->length < END_LENGTH) continue;
        char *tail = s->in + s->length - END_LENGTH;
        if (memcmp(tail, END_OF_DATA, END_LENGTH) == 0) {
            write_all(fd, s->in, s->length - END_LENGTH + 2);
            s->length = 0;
            return true;
        }
        write_all(fd, s->in, s->length - END_LENGTH);
        memmove(s->in, tail, END_LENGTH);
        s->length = END_LENGTH;
    }
}

static void sync_directory(const char *path) {
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) fail(path);
    close(fd);
}

static bool deliver(struct session *s) {
    char name[NAME], from[FILE_PATH], to[RECIPIENTS][FILE_PATH], directory[FILE_PATH];
    snprintf(name, sizeof name, "%d.%lu.floor", (int)getpid(), atomic_fetch_add(&serial, 1));
    snprintf(from, sizeof from, "%s/tmp/%s", s->recipients[0], name);
    int fd = openat(root, from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail(from);
    if (!receive(s, fd)) {
        close(fd);
        unlinkat(root, from, 0);
        return false;
    }
    if (fsync(fd) < 0) fail("fsync");
    close(fd);
    for (int i = s->recipient_count - 1; i >= 0; i--) {
        snprintf(to[i], sizeof to[i], "%s/new/%s", s->recipients[i], name);
        if (i > 0 && linkat(root, from, root, to[i], 0) < 0) fail(to[i]);
        if (i == 0 && renameat(root, from, root, to[i]) < 0) fail(to[i]);
    }
    for (int i = 0; i < s->recipient_count; i++) {
        snprintf(directory, sizeof directory, "%s/new", s->recipients[i]);
        sync_directory(directory);
        reply(s, "250 2.0.0 durable\r\n");
    }
    s->recipient_count = 0;
    return true;
}

/* "RCPT TO:<u001@bench.test>" becomes "bench.test/u001". */
static void add_recipient(struct session *s, const char *line) {
    char local[PATH / 2], domain[PATH / 2];
    if (s->recipient_count == RECIPIENTS ||
        sscanf(line, "%*[^<]<%63[^@]@%63[^>]>", local, domain) != 2) {
        reply(s, "501 5.5.4 not for me\r\n");
        return;
    }
    snprintf(s->recipients[s->recipient_count++], PATH, "%s/%s", domain, local);
    reply(s, "250 2.1.5 ok\r\n");
}

static bool obey(struct session *s, const char *line) {
    if (strncasecmp(line, "RCPT", 4) == 0) {
        add_recipient(s, line);
    } else if (strncasecmp(line, "DATA", 4) == 0) {
        reply(s, "354 go ahead\r\n");
        return deliver(s);
    } else if (strncasecmp(line, "LHLO", 4) == 0) {
        reply(s, "250-floor\r\n250 PIPELINING\r\n");
    } else if (strncasecmp(line, "QUIT", 4) == 0) {
        reply(s, "221 2.0.0 bye\r\n");
        flush(s);
        return false;
    } else {
        reply(s, "250 2.0.0 ok\r\n");
    }
    return true;
}

/* Obey the first line; false when there is to be no more of this connection. */
static bool take_line(struct session *s) {
    char line[1024], *end;
    while (!(end = memchr(s->in, '\n', s->length)))
        if (!fill(s)) return false;
    size_t length = (size_t)(end - s->in) + 1;
    if (length >= sizeof line) return false;
    memcpy(line, s->in, length);
    line[length] = '\0';
    s->length -= length;
    memmove(s->in, s->in + length, s->length);
    return obey(s, line);
}

static void *serve(void *argument) {
    struct session *s = argument;
    int yes = 1;
    setsockopt(s->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    s->in = malloc(BUFFER);
    if (s->in == NULL) fail("malloc");
    reply(s, "220 floor LMTP\r\n");
    while (take_line(s)) continue;
    close(s->socket);
    free(s->in);
    free(s);
    return NULL;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(listener, 1024) < 0) fail("listen");
    return listener;
}

int main(int count, char **words) {
    pthread_attr_t small;
    pthread_t thread;
    if (count != 3) {
        fputs("usage: floor PORT ROOT\n", stderr);
        return 64;
    }
    root = open(words[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) fail(words[2]);
    pthread_attr_init(&small);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&small, STACK + sizeof(struct session));
    int listener = listen_on(atoi(words[1]));
    for (;;) {
        struct session *s = calloc(1, sizeof *s);
        if (s == NULL) fail("calloc");
        s->socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (s->socket < 0) fail("accept");
        if (pthread_create(&thread, &small, serve, s) != 0) fail("thread");
    }
}
