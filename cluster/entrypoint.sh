#!/bin/sh
# Runs a command in a pod: selects the compiled kernels for this processor, and passes signals on.
#
# The image has kernels compiled for two kinds of x86 processors, with and without AVX-512. numba finds them if these
# variables name the kind; on any other processor it compiles the kernels again.
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

# The first process of a container ignores every signal without a handler, and the Python command installs one for
# SIGTERM only when its work starts. So this script is the first process, passes signals on, and exits with the
# command's code.
child=
signalled=
trap 'signalled=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || :' TERM INT
exec 3<&0 # a background job has no stdin by default
"$@" <&3 3<&- &
child=$!
[ -z "$signalled" ] || kill -TERM "$child" 2> /dev/null || :
code=0
wait "$child" || code=$?
while [ -n "$signalled" ]; do # a signal may have interrupted the wait, not the command
  signalled=
  again=0
  wait "$child" || again=$?
  [ "$again" = 127 ] || code=$again # 127: the first wait already returned the command's code
done
exit "$code"
