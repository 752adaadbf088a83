# PowerShell completion of qkv: qkv completion pwsh | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName qkv -ScriptBlock {
	param($wordToComplete, $commandAst, $cursorPosition)
	$words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
	if ($wordToComplete -eq '') { $words += '""' }
	& $commandAst.CommandElements[0].ToString() __complete @words 2>$null | ForEach-Object {
		$name, $text = $_ -split "`t", 2
		if (-not $text) { $text = $name }
		[System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $text)
	}
}
