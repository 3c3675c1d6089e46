#ifndef __APPLE__
#define _GNU_SOURCE /* struct ucred */
#endif
#include "peer.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __APPLE__

#include <stdint.h>
#include <sys/un.h>

/* bsd/sys/codesign.h, which the SDK does not have. */
extern int csops(pid_t pid, unsigned int operation, void *data, size_t size);
enum { CS_OPS_STATUS = 0, CS_OPS_CDHASH = 5, CS_CDHASH_LEN = 20 };
static const uint32_t CS_VALID = 1;

static bool cdhash_of(pid_t pid, unsigned char hash[CS_CDHASH_LEN])
{
    uint32_t status = 0;
    return csops(pid, CS_OPS_STATUS, &status, sizeof status) == 0 && (status & CS_VALID) &&
           csops(pid, CS_OPS_CDHASH, hash, CS_CDHASH_LEN) == 0;
}

bool peer_is_same_code(int connection)
{
    unsigned char own[CS_CDHASH_LEN], other[CS_CDHASH_LEN];
    pid_t pid = 0;
    socklen_t size = sizeof pid;
    return getsockopt(connection, SOL_LOCAL, LOCAL_PEERPID, &pid, &size) == 0 && cdhash_of(getpid(), own) &&
           cdhash_of(pid, other) && memcmp(own, other, sizeof own) == 0;
}

#else

#include <stdio.h>

bool peer_is_same_code(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    char path[64];
    struct stat own, other;
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%ld/exe", (long)peer.pid);
    return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

#endif
