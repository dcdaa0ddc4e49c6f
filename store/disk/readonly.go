package disk

import "errors"

// ErrReadOnly is returned by a ReadOnly file system for whatever would change it.
var ErrReadOnly = errors.New("this folder is only being looked at")

// A ReadOnly file system reads from another one and passes nothing on that would
// change it: whoever holds one cannot write by mistake.
type ReadOnly struct{ FS }

// Create implements FS.
func (ReadOnly) Create(string) (File, error) { return nil, ErrReadOnly }

// Append implements FS.
func (ReadOnly) Append(string) (File, error) { return nil, ErrReadOnly }

// Overwrite implements FS.
func (ReadOnly) Overwrite(string) (File, error) { return nil, ErrReadOnly }

// Rename implements FS.
func (ReadOnly) Rename(string, string) error { return ErrReadOnly }

// Replace implements FS.
func (ReadOnly) Replace(string, string) error { return ErrReadOnly }

// Remove implements FS.
func (ReadOnly) Remove(string) error { return ErrReadOnly }

// Mkdir implements FS.
func (ReadOnly) Mkdir(string) error { return ErrReadOnly }

// SyncDir implements FS.
func (ReadOnly) SyncDir(string) error { return ErrReadOnly }
