#include <stdio.h>
extern void *use_CGEventPost(void);
int main(void) { return printf("agent %d %d\n", MESH_AGENTID, use_CGEventPost() != 0) < 0; }
