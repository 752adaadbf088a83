//go:build linux

package data

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"qkv/cli/form"
	"qkv/node"
)

// ServeError explains why a member does not start or has ended, with the exit code for supervisors.
func ServeError(err error) error {
	var refused *node.UsageError
	switch {
	case errors.As(err, &refused):
		return form.Usagef("%w", err)
	case errors.Is(err, node.ErrRemoved):
		return form.Exitf(form.ExitNotAllowed, "%w", err)
	case errors.Is(err, node.ErrDisk) && errors.Is(err, syscall.ENOSPC):
		return form.Exitf(form.ExitDisk, "%w (the disk is full: free space on it)", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w (the disk is full: free space on it)", err)
	case errors.Is(err, node.ErrDisk):
		return form.Exitf(form.ExitDisk, "%w (the kernel's messages may say more)", err)
	default:
		return err
	}
}

// ParseCluster reads NAME=HOST:PORT,... The package node checks names and addresses.
func ParseCluster(text string) ([]node.Founder, error) {
	if text == "" {
		return nil, nil
	}
	var members []node.Founder
	for part := range strings.SplitSeq(text, ",") {
		name, address, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" || address == "" {
			return nil, form.Usagef("--initial-cluster %q: %q is not NAME=HOST:PORT, as in n1=10.0.0.1:2380,n2=10.0.0.2:2380", text, part)
		}
		members = append(members, node.Founder{Name: name, Address: address})
	}
	return members, nil
}
