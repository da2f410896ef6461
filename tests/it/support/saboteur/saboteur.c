/* Makes system calls of one process fail while a file says so: preloaded before libc.
 *
 * The file holds one letter and, for delays, a number of milliseconds. It is mapped, so that asking
 * costs nothing. Only the files of the store are touched, and they are known by their name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const volatile char *order = "-";

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SABOTEUR");
    int fd = path ? REAL(open)(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) order = page;
    close(fd);
}

static int ordered(char fault) { return order[0] == fault; }

static void delay(void) {
    long milliseconds = strtol((const char *)order + 1, NULL, 10);
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

static int is_store(const char *path) { return path && strstr(path, "throughline.sqlite") != NULL; }

static int is_store_file(int fd) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_store(path);
}

/* The error that a write to this file meets, or 0. */
static int write_error(int fd) {
    int error = ordered('n') ? ENOSPC : ordered('r') ? EROFS : 0;
    return error && is_store_file(fd) ? error : 0;
}

#define FAIL(error) do { errno = (error); return -1; } while (0)

#define WRITE(name, parameters, arguments) \
    ssize_t name parameters { \
        int error = write_error(fd); \
        if (error) FAIL(error); \
        return REAL(name) arguments; \
    }

WRITE(write, (int fd, const void *data, size_t size), (fd, data, size))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))

#define SYNC(name) \
    int name(int fd) { \
        if (ordered('e') && is_store_file(fd)) FAIL(EIO); \
        if (ordered('s') && is_store_file(fd)) delay(); \
        return REAL(name)(fd); \
    }

SYNC(fsync)
SYNC(fdatasync)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (ordered('m') && is_store(path)) FAIL(EMFILE); \
        if (ordered('r') && is_store(path) && (flags & O_ACCMODE) != O_RDONLY) FAIL(EROFS); \
        return REAL(name)(path, flags, mode); \
    }

OPEN(open)
OPEN(open64)

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (ordered('d')) {
        delay();
        return EAI_AGAIN;
    }
    return REAL(getaddrinfo)(name, service, hints, found);
}
