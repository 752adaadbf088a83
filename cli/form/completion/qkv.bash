# bash completion of qkv: source <(qkv completion bash)
_qkv() {
	local cur="${COMP_WORDS[COMP_CWORD]}" candidates
	candidates=$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$cur" 2>/dev/null | cut -f1)
	mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$cur")
}
complete -o bashdefault -o default -F _qkv qkv ./qkv
