//go:build !linux && !windows

package disk

func renameNoReplace(old, name string) error { return renameByLink(old, name) }
