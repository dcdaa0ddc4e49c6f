package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Copy is a place outside the mirror's own disk where a second copy is kept.
type Copy struct {
	// Name is what this practice calls it: a-z, 0-9 and dashes, and no source has the
	// same. Required.
	Name string `toml:"name"`
	// Folder, SFTP and S3 say where it is; one of them is set. Folder is the full path
	// of a folder or a USB disk; SFTP is user@host:port/path; S3 is
	// https://host/bucket/prefix.
	Folder string `toml:"folder"`
	SFTP   string `toml:"sftp"`
	S3     string `toml:"s3"`
	// HostKey is the fingerprint of the SFTP server, SHA256:...; another one is refused.
	HostKey string `toml:"host_key"`
	// Region and AccessKey belong to S3; the secret lies sealed in the mirror.
	Region    string `toml:"region"`
	AccessKey string `toml:"access_key"`
	// LockDays is for how long a bucket with object lock keeps each file from being
	// removed by anybody; 0 is what the bucket does by itself.
	LockDays int `toml:"lock_days"`
	// Disks is how many USB disks take turns at Folder; with two or more it is told
	// when one stays for more than 7 days.
	Disks int `toml:"disks"`
	// At is when it is brought up to date: "daily 05:00" by default. Check is when the
	// next thirtieth of it is read again: "daily 06:30" by default.
	At    string `toml:"at"`
	Check string `toml:"check"`
	// Hours, such as "20:00-07:00", are those in which files are sent; "" is always.
	Hours string `toml:"hours"`
	// RateMbit is how many megabits a second are used at most; 0 is no limit.
	RateMbit int `toml:"rate_mbit"`
	// Ours says whose account it is, "practice" or anything else; Deletes says who else
	// can delete what lies there; Agreement is the day of the agreement with whoever
	// keeps it (P146). Only with these answered is the copy the practice's own.
	Ours      string `toml:"ours"`
	Deletes   string `toml:"deletes"`
	Agreement string `toml:"agreement"`
}

// Office says that a place is the practice's own disk, for which nobody else has to
// agree to anything.
func (c Copy) Office() bool { return c.Folder != "" }

func (c *Copy) fill() {
	if c.At == "" {
		c.At = "daily 05:00"
	}
	if c.Check == "" {
		c.Check = "daily 06:30"
	}
	if c.Disks == 0 {
		c.Disks = 1
	}
}

func (c *Copy) check() error {
	set := 0
	for _, where := range []string{c.Folder, c.SFTP, c.S3} {
		if where != "" {
			set++
		}
	}
	switch {
	case !namePattern.MatchString(c.Name):
		return errors.New("name: use small letters, digits and dashes, at most 31")
	case set != 1:
		return errors.New("write one of folder, sftp and s3")
	case c.Folder != "" && !filepath.IsAbs(c.Folder):
		return fmt.Errorf("folder = %q: write the full path", c.Folder)
	case c.SFTP != "" && checkSFTP(c.SFTP, c.HostKey) != nil:
		return checkSFTP(c.SFTP, c.HostKey)
	case c.S3 != "" && !strings.HasPrefix(c.S3, "https://") && !strings.HasPrefix(c.S3, "http://127.0.0.1:"):
		return fmt.Errorf("s3 = %q: write https://host/bucket, or https://host/bucket/prefix", c.S3)
	case c.Disks < 1 || c.Disks > 9 || c.Disks > 1 && c.Folder == "":
		return errors.New("disks: write how many disks take turns at the folder, 1 to 9")
	case c.LockDays < 0 || c.RateMbit < 0:
		return errors.New("lock_days, rate_mbit: write a number, or 0")
	case c.Agreement != "" && !isDay(c.Agreement):
		return fmt.Errorf("agreement = %q: write the day as 2026-03-01", c.Agreement)
	}
	return nil
}

// checkSFTP says in words what is wrong with a folder of a server.
func checkSFTP(place, hostKey string) error {
	user, host, at := strings.Cut(place, "@")
	switch {
	case !at || user == "" || !strings.Contains(host, "/"):
		return fmt.Errorf("sftp = %q: write user@host:port/path", place)
	case strings.Contains(user, ":"):
		return errors.New("sftp: write no password into the settings; the command that adds it asks for it")
	case !strings.HasPrefix(hostKey, "SHA256:"):
		return errors.New("host_key: write the fingerprint of the server, SHA256:...; the command that adds it shows it")
	}
	return nil
}

// Copy returns the second copy of that name; with "" the only one there is.
func (s *Settings) Copy(name string) (Copy, error) {
	if name == "" && len(s.Copies) == 1 {
		return s.Copies[0], nil
	}
	if i := slices.IndexFunc(s.Copies, func(c Copy) bool { return c.Name == name }); i >= 0 {
		return s.Copies[i], nil
	}
	switch {
	case len(s.Copies) == 0:
		return Copy{}, errors.New("there is no second copy yet; see `chartcellar copy add --help`")
	case name == "":
		return Copy{}, errors.New("there are several second copies; name one")
	}
	return Copy{}, fmt.Errorf("there is no second copy %q in the settings", name)
}

// CopyBlock returns a second copy as it is appended to the file.
func CopyBlock(c Copy) []byte {
	c.fill()
	return fmt.Appendf(nil, `
[[copy]]
name = %q
folder = %q        # full path of a folder or a USB disk
sftp = %q          # or user@host:port/path
host_key = %q      # fingerprint of that server; another one is refused
s3 = %q            # or https://host/bucket/prefix
region = %q
access_key = %q    # the secret lies sealed in the mirror
lock_days = %d      # for how long a bucket with object lock keeps each file
disks = %d          # how many USB disks take turns at the folder
at = %q            # when it is brought up to date
check = %q         # when the next thirtieth of it is read again
hours = %q         # "20:00-07:00": files are sent only then; "" is always
rate_mbit = %d      # megabits a second at most; 0 is no limit
ours = %q          # whose account it is: "practice", or whose
deletes = %q       # who else can delete what lies there: "nobody", or who
agreement = %q     # day of the agreement with whoever keeps it, such as "2026-03-01"
`, c.Name, c.Folder, c.SFTP, c.HostKey, c.S3, c.Region, c.AccessKey, c.LockDays, c.Disks, c.At, c.Check, c.Hours, c.RateMbit, c.Ours, c.Deletes, c.Agreement)
}
