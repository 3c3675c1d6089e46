#include "service.h"

#include <ctype.h>
#include <string.h>

bool service_id_from_name(const char *name, char *id, size_t size)
{
    size_t length = 0;
    bool in_space = false;
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        char kept;
        if (isspace(c)) {
            if (in_space)
                continue;
            in_space = true;
            kept = '-';
        } else {
            in_space = false;
            if (!isalnum(c) && c != '_' && c != '-')
                continue;
            kept = (char)tolower(c);
        }
        if (length + 1 >= size)
            return false;
        id[length++] = kept;
    }
    id[length] = '\0';
    return length > 0;
}

const char *service_id_problem(const char *id)
{
    static const char suffix[] = "-agent";
    size_t length = strlen(id);
    if (length == 0)
        return "is empty";
    if (length > SERVICE_ID_LONGEST)
        return "is too long for a socket's path";
    for (const char *at = id; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._-", *at))
            return "has a character that is not a letter, a digit, '.', '_' or '-'";
    /* The LaunchAgent's label is <id>-agent, and the suffix is cut off again to find the daemon: an id that has it
       already would make the two look for each other in different places. */
    if (length >= sizeof suffix - 1 && strcmp(id + length - (sizeof suffix - 1), suffix) == 0)
        return "ends in -agent, which is the LaunchAgent's suffix";
    return NULL;
}
