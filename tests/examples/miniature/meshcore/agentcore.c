/* One symbol of each framework that the agent links. */
#define SYMBOL(name) extern char name; void *use_##name(void) { return &name; }
SYMBOL(IOServiceMatching)
SYMBOL(AXIsProcessTrusted)
SYMBOL(SCDynamicStoreCreate)
SYMBOL(CSGetComponentsThreadMode)
SYMBOL(CGEventPost)
SYMBOL(CFRelease)
#ifdef WITH_SECURITY
SYMBOL(SecCodeCopySelf)
#endif
#if defined(WITH_LOGIN_WINDOW) && !defined(SECTCREATE)
__attribute__((used, section("__CGPreLoginApp,__cgpreloginapp"))) static const char login_window = 0;
#endif
