/* Where daemon and session meet, all below a root: "" on a Mac, a folder in a trial. */

#ifndef PLACES_H
#define PLACES_H

#include <stdbool.h>
#include <sys/un.h>

struct places {
    struct sockaddr_un session; /* <root>/tmp/<id>.sock: a session's process connects */
    struct sockaddr_un viewers; /* <root>/tmp/<id>.view: where the real agent has its server's connections */
    char queue[512];            /* <root>/var/run/<id>: launchd starts the session's process while it holds a file */
    char signal[544];           /* <root>/var/run/<id>/session-active */
};

/* False if a path is too long for a socket. */
bool places_of(struct places *places, const char *root, const char *id);

#endif
