package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"chartcellar/store/disk"
)

// placeUnit writes a unit file, whole or not at all.
func placeUnit(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of units: %w", err)
	}
	if err := disk.ReplaceFile(disk.OS{}, path, []byte(text)); err != nil {
		return err
	}
	return os.Chmod(path, 0o644) // a unit is no secret, and systemctl cat is for everybody
}

// placeSealed writes the sealed box key.
func placeSealed(path string, sealed []byte) error {
	if err := (disk.OS{}).Mkdir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make the folder of sealed keys: %w", err)
	}
	return disk.ReplaceFile(disk.OS{}, path, sealed)
}

// removeUnit removes a unit file that install wrote, and what enabled it.
func removeUnit(path string) error {
	for _, target := range []string{"multi-user.target.wants", "default.target.wants"} {
		err := os.Remove(filepath.Join(filepath.Dir(path), target, unitName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disable the unit: %w", err)
		}
	}
	return os.Remove(path)
}

// account returns the user of the service: whom settings or data belong to, unless
// that is root.
func (sv services) account(u unit) string {
	for _, p := range append([]string{u.Settings}, u.Folders...) {
		info, err := os.Stat(filepath.Join(sv.root, p))
		if err != nil || ownerOf(info) == 0 || !sv.live() {
			continue
		}
		if who, err := user.LookupId(strconv.Itoa(ownerOf(info))); err == nil {
			return who.Username
		}
	}
	return serviceAccount
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return 0
}

// handOver sees that the service's user exists and owns the folders: what belongs
// to root becomes his. A folder of somebody else is an error.
func (sv services) handOver(ctx context.Context, u unit) error {
	who, err := sv.ensureAccount(ctx, u.Account)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return fmt.Errorf("read the user's number: %w", err)
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return fmt.Errorf("read the group's number: %w", err)
	}
	for _, f := range u.Folders {
		if err := (disk.OS{}).Mkdir(f); err != nil {
			return fmt.Errorf("make a folder of the service: %w", err)
		}
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		switch ownerOf(info) {
		case uid:
		case 0:
			if err := giveAway(f, uid, gid); err != nil {
				return err
			}
			sv.e.printf("Handed over to the user %s: %s\n", u.Account, f)
		default:
			return usage(f + " belongs neither to root nor to " + u.Account + ", whom the service runs as: give it to one of them, or name another with --account")
		}
	}
	return nil
}

// giveAway gives a folder of root's, and what root has in it, to somebody.
func giveAway(folder string, uid, gid int) error {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return err
	}
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || ownerOf(info) != 0 {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// ensureAccount returns the service's user; the one of its own is made if missing.
func (sv services) ensureAccount(ctx context.Context, name string) (*user.User, error) {
	who, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if err == nil || !errors.As(err, &unknown) {
		return who, err
	}
	if name != serviceAccount {
		return nil, usage("there is no user " + name + " on this computer")
	}
	if _, err := exec.LookPath("useradd"); err != nil {
		return nil, &plainError{exitFailed, "The service needs a user of its own, and this system has no useradd.", nothingLost,
			"Make a system user named chartcellar by the means of this system, and try again."}
	}
	if _, err := tool(ctx, nil, "useradd", "--system", "--user-group", "--home-dir", systemData, "--no-create-home",
		"--shell", "/usr/sbin/nologin", serviceAccount); err != nil {
		return nil, err
	}
	sv.e.printf("Made the system user %s; nobody can sign in as it.\n", serviceAccount)
	return user.Lookup(name)
}
