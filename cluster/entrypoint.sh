#!/bin/sh
# Runs a command as a pod should: with kernels that fit, and so that it ends when it is told to.
#
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

# The first process of a container ignores every signal that it has no handler for, and Python has one for SIGTERM only
# when the work has begun. So this is the first process, passes the signal on, and gives the command's exit code.
child=
told=
trap 'told=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || :' TERM INT
exec 3<&0 # what runs beside the shell would have nothing to read
"$@" <&3 3<&- &
child=$!
[ -z "$told" ] || kill -TERM "$child" 2> /dev/null || :
code=0
wait "$child" || code=$?
while [ -n "$told" ]; do # a signal may have ended the wait, and not the command
  told=
  again=0
  wait "$child" || again=$?
  [ "$again" = 127 ] || code=$again # 127: the first wait had the command's own code
done
exit "$code"
