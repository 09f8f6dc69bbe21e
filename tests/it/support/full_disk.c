/* A disk that is full: files whose path holds the text in the file $TEST_FULL_DISK do not grow. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd, off_t end) {
    const char *flag = getenv("TEST_FULL_DISK");
    if (flag == NULL || access(flag, F_OK) != 0) return 0;
    char text[256] = "", link[64], path[4096];
    int file = open(flag, O_RDONLY);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    struct stat found;
    return strstr(path, text) != NULL && fstat(fd, &found) == 0 && end > found.st_size;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)
#define REFUSE { errno = ENOSPC; return -1; }

static off_t sum(const struct iovec *parts, int count) {
    off_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

ssize_t write(int fd, const void *from, size_t bytes) {
    REAL(write);
    if (is_full(fd, lseek(fd, 0, SEEK_CUR) + bytes)) REFUSE;
    return real(fd, from, bytes);
}
ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    REAL(pwrite);
    if (is_full(fd, at + bytes)) REFUSE;
    return real(fd, from, bytes, at);
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at) { return pwrite(fd, from, bytes, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(pwritev);
    if (is_full(fd, at + sum(parts, count))) REFUSE;
    return real(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return pwritev(fd, parts, count, at); }
int posix_fallocate(int fd, off_t at, off_t bytes) {
    REAL(posix_fallocate);
    return is_full(fd, at + bytes) ? ENOSPC : real(fd, at, bytes);
}
int posix_fallocate64(int fd, off_t at, off_t bytes) { return posix_fallocate(fd, at, bytes); }
