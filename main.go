// Command qkv is a distributed, revisioned key-value store: the server, its client and its tools in one binary.
package main

import (
	"os"

	"qkv/cli"
)

func main() {
	os.Exit(cli.Run(os.Args))
}
