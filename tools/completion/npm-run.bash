# Lets bash complete "npm run COMMAND -- ..." in a checkout of flannel-ts, by what its commands take. All else is left to what completed
# npm before. In ~/.bashrc, or once in a shell:
#   eval "$(npm run -s completion)"
_flannel_ts_before=$(complete -p npm 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
[ "$_flannel_ts_before" != _flannel_ts ] || _flannel_ts_before=

_flannel_ts() {
  local root=$PWD
  while [ -n "$root" ] && [ ! -e "$root/tools/completion/complete.mjs" ]; do root=${root%/*}; done
  if [ -z "$root" ] || [ "${COMP_WORDS[1]}" != run ]; then
    [ -z "$_flannel_ts_before" ] || "$_flannel_ts_before" "$@"
    return
  fi
  # In the form of the command line: bash takes "=" and ":" for words of their own.
  local line=${COMP_LINE:0:COMP_POINT}
  mapfile -t COMPREPLY < <(node "$root/tools/completion/complete.mjs" "$line" 2>/dev/null)
  [ ${#COMPREPLY[@]} -ne 1 ] || [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}
complete -o default -F _flannel_ts npm
