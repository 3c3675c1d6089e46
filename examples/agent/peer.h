/* Who is at the other end of a local socket: the same code as this process, or somebody else. */

#ifndef PEER_H
#define PEER_H

#include <stdbool.h>

/* On macOS: is the CDHash of the connected process ours, and its signature still valid? Elsewhere, for tests: does it
   run the same executable file? */
bool peer_is_same_code(int connection);

#endif
