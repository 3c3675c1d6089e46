# As in the port of November 2025: build/macos/<tree>/, one framework and one section more.
ARCHNAME := $(if $(filter 16,$(ARCHID)),macos-x86-64,macos-arm-64)
OUTBIN := build/macos/$(ARCHNAME)/meshagent
DEBUGBIN := build/macos/$(ARCHNAME)/DEBUG_meshagent
MORE_FRAMEWORKS := Security
LOGIN_WINDOW := yes
include rules.mk
