# As on master: the binaries lie at the top of the tree.
ARCHNAME := $(if $(filter 16,$(ARCHID)),osx-x86-64,osx-arm-64)
OUTBIN := ./meshagent_$(ARCHNAME)
DEBUGBIN := ./DEBUG_meshagent_$(ARCHNAME)
include rules.mk
