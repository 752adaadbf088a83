# fish completion of qkv: qkv completion fish | source
function __qkv_complete
	set -l words (commandline -opc)
	$words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c qkv -a '(__qkv_complete)'
