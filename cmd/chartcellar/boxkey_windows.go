package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"

	"chartcellar/store/disk"
)

// sealedSuffix ends the name of the sealed box key, beside the plain one.
const sealedSuffix = ".dpapi"

// unsealBox reads the box key that is sealed for this computer, if there is one.
func unsealBox(path string) ([]byte, error) {
	sealed, err := os.ReadFile(path + sealedSuffix)
	if err != nil {
		return nil, err
	}
	return dpapi(unprotect, sealed)
}

// A blobCall is CryptProtectData or CryptUnprotectData, without what is not used.
type blobCall func(in, out *windows.DataBlob) error

// protect seals for this computer, not for one user: the service is another one
// than whoever installs it.
func protect(in, out *windows.DataBlob) error {
	return windows.CryptProtectData(in, nil, nil, 0, nil, windows.CRYPTPROTECT_LOCAL_MACHINE|windows.CRYPTPROTECT_UI_FORBIDDEN, out)
}

func unprotect(in, out *windows.DataBlob) error {
	return windows.CryptUnprotectData(in, nil, nil, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, out)
}

func dpapi(call blobCall, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("unseal the box key: the sealed file is empty")
	}
	var out windows.DataBlob
	if err := call(&windows.DataBlob{Size: uint32(len(b)), Data: &b[0]}, &out); err != nil {
		return nil, fmt.Errorf("ask Windows about the box key: %w", err)
	}
	defer windows.LocalFree(windows.Handle(unsafe.Pointer(out.Data)))
	return bytes.Clone(unsafe.Slice(out.Data, out.Size)), nil
}

// sealBox seals the plain box key beside it and proves that it opens again.
func sealBox(path string) error {
	plain, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the plain box key: %w", err)
	}
	sealed, err := dpapi(protect, plain)
	if err != nil {
		return err
	}
	back, err := dpapi(unprotect, sealed)
	if err != nil || !bytes.Equal(back, plain) {
		return errors.Join(errors.New("the sealed box key does not open again; the plain one stays in use"), err)
	}
	return disk.ReplaceFile(disk.OS{}, path+sealedSuffix, sealed)
}
