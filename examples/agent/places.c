#include "places.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool socket_at(struct sockaddr_un *address, const char *root, const char *id, const char *ending)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/tmp/%s.%s", root, id, ending);
    return length > 0 && (size_t)length < sizeof address->sun_path;
}

bool places_of(struct places *places, const char *root, const char *id)
{
    snprintf(places->queue, sizeof places->queue, "%s/var/run/%s", root, id);
    snprintf(places->signal, sizeof places->signal, "%s/session-active", places->queue);
    return socket_at(&places->session, root, id, "sock") && socket_at(&places->viewers, root, id, "view");
}
