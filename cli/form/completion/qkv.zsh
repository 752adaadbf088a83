#compdef qkv
# zsh completion of qkv: source <(qkv completion zsh), after compinit
_qkv() {
	local -a candidates
	local line
	while IFS= read -r line; do
		candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done < <("${words[1]}" __complete "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)
	if (( ${#candidates} )); then
		_describe 'qkv' candidates
	else
		_files
	fi
}
compdef _qkv qkv
# A package installs this file as _qkv: then zsh runs it as the function itself, at the first completion.
[[ "${funcstack[1]}" != _qkv ]] || _qkv
