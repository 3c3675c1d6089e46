/* A service id and the places on a Mac that follow from it. Nothing here touches the system. */

#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>

/* An id becomes the socket /tmp/<id>.sock, whose path must fit sockaddr_un's 104 bytes on macOS, the final NUL
   included: 104 - 1 - strlen("/tmp/") - strlen(".sock"). */
enum { SERVICE_ID_LONGEST = 93 };

/* The id that an executable's name stands for: each run of white space one '-', everything but letters, digits, '_'
   and '-' dropped, lower case. False if nothing remains or it does not fit into `size` bytes. */
bool service_id_from_name(const char *name, char *id, size_t size);

/* Why an id cannot be used, or NULL if it can. */
const char *service_id_problem(const char *id);

#endif
