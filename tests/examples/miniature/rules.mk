# What both layouts share. OUTBIN and DEBUGBIN are theirs.
ifeq ($(ARCHID),16)
ARCH := x86_64
ZIGTARGET := x86_64-macos.10.13
else
ARCH := arm64
ZIGTARGET := aarch64-macos.11.0
endif
FRAMEWORKS := IOKit ApplicationServices SystemConfiguration CoreServices CoreGraphics CoreFoundation $(MORE_FRAMEWORKS)
OBJECTS := meshcore/agentcore.o meshconsole/main.o
ifneq ($(filter ziglang,$(CC)),)
COMPILER := $(CC) -target $(ZIGTARGET)
LINK := -Fframeworks -Wl,-headerpad,0x200
STRIPPED := -Wl,-S -Wl,-x
else
COMPILER := gcc -arch $(ARCH)
CFLAGS += -DSECTCREATE
LINK := $(if $(LOGIN_WINDOW),-sectcreate __CGPreLoginApp __cgpreloginapp /dev/null)
endif
LINK += $(FRAMEWORKS:%=-framework %)
CFLAGS += -O2 -DMESH_AGENTID=$(ARCHID) $(if $(LOGIN_WINDOW),-DWITH_LOGIN_WINDOW) \
          $(if $(filter Security,$(MORE_FRAMEWORKS)),-DWITH_SECURITY)

.PHONY: macos clean
macos: $(OBJECTS)
	mkdir -p $(dir $(OUTBIN))
	$(COMPILER) -o $(DEBUGBIN) $(OBJECTS) $(LINK)
ifdef STRIPPED
	$(COMPILER) $(STRIPPED) -o $(OUTBIN) $(OBJECTS) $(LINK)
else
	cp $(DEBUGBIN) $(OUTBIN)
	strip $(OUTBIN)
endif

%.o: %.c
	$(COMPILER) $(CFLAGS) -g -c -o $@ $<

clean:
	rm -f $(OBJECTS)
