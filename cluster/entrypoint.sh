#!/bin/sh
# The kernels in the image are compiled for two kinds of x86 processors, with AVX-512 and without: name the one that is
# here, so that numba finds them. On any other it compiles for what it sees.
set -eu
flags=" $(sed -n '/^flags/{s/^[^:]*: //p;q}' /proc/cpuinfo) "

has() {
  for flag; do
    case $flags in *" $flag "*) ;; *) return 1 ;; esac
  done
}

if [ -z "${NUMBA_CPU_NAME:-}" ] && has avx2 bmi1 bmi2 fma f16c movbe abm; then
  NUMBA_CPU_NAME=x86-64-v3
  if has avx512f avx512bw avx512cd avx512dq avx512vl; then NUMBA_CPU_NAME=x86-64-v4; fi
  NUMBA_CPU_FEATURES=
  export NUMBA_CPU_NAME NUMBA_CPU_FEATURES
fi
exec "$@"
