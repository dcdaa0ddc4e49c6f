package main

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/archive"
	"chartcellar/store/disk"
	"chartcellar/store/offsite"
)

//go:embed readmefirst.html
var readMeFirst string

// The name of the page that every copy on a disk begins with, and the folder of the
// programs.
const (
	readMeName    = "READ-ME-FIRST.html"
	programFolder = "programs"
)

// extrasOf are what lies beside the copy in a folder or on a disk: how to open it, and
// the program for other computers. A server or a bucket gets none.
func (e *env) extrasOf(s config.Settings, m *store.Mirror, c config.Copy) ([]offsite.Extra, error) {
	if !c.Office() {
		return nil, nil
	}
	programs, err := e.programs()
	if err != nil {
		return nil, err
	}
	page, err := readMePage(s, m, programs)
	if err != nil {
		return nil, err
	}
	list := []offsite.Extra{bytesExtra(readMeName, page)}
	sums := ""
	for _, p := range programs {
		list = append(list, offsite.Extra{Name: p.place(), Size: p.Size, Open: func() (io.ReadCloser, error) { return os.Open(p.file) }})
		sums += p.Sum + "  " + p.Name + "\n"
	}
	if len(programs) > 0 {
		list = append(list, bytesExtra(programFolder+"/"+release+"/SHA256SUMS", []byte(sums)))
	}
	return list, nil
}

func bytesExtra(name string, content []byte) offsite.Extra {
	return offsite.Extra{Name: name, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
}

// A program is chartcellar for one kind of computer.
type program struct {
	Name, For, Sum string
	Size           int64
	file           string
}

func (p program) place() string { return programFolder + "/" + release + "/" + p.Name }

// programs are this one, and those for other computers that lie in a folder "programs"
// beside it, or where the package puts them.
func (e *env) programs() ([]program, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program itself: %w", err)
	}
	files := map[string]string{}
	for _, folder := range []string{filepath.Join(filepath.Dir(own), programFolder), filepath.Join(filepath.Dir(own), "..", "share", "chartcellar", programFolder)} {
		beside, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list the programs for other computers: %w", err)
		}
		for _, b := range beside {
			if strings.HasPrefix(b.Name(), "chartcellar-") && b.Type().IsRegular() {
				files[b.Name()] = filepath.Join(folder, b.Name())
			}
		}
	}
	files[programName(runtime.GOOS, runtime.GOARCH)] = own
	var list []program
	for name, file := range files {
		size, sum, err := archive.Sum(disk.OS{}, file)
		if err != nil {
			return nil, fmt.Errorf("read the program %s: %w", name, err)
		}
		list = append(list, program{name, systemOf(name), hex.EncodeToString(sum[:]), size, file})
	}
	slices.SortFunc(list, func(a, b program) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func programName(system, arch string) string {
	name := "chartcellar-" + system + "-" + arch
	if system == "windows" {
		name += ".exe"
	}
	return name
}

// systemOf says for which computers a program is.
func systemOf(name string) string {
	kind := ""
	for part, words := range map[string]string{"-windows-": "Windows", "-darwin-": "a Mac", "-linux-": "Linux"} {
		if strings.Contains(name, part) {
			kind = words
		}
	}
	if strings.Contains(name, "-arm64") {
		return kind + " (ARM: newer Macs, some small computers)"
	}
	return kind + " (Intel or AMD)"
}

// readMePage makes the page. It names no patient.
func readMePage(s config.Settings, m *store.Mirror, programs []program) ([]byte, error) {
	t, err := template.New(readMeName).Parse(readMeFirst)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	err = t.Execute(&page, map[string]any{"Practice": s.Practice, "Mirror": m.ID(), "First": m.FirstHash(), "Statement": m.FirstHash()[:32], "Release": release,
		"Programs": programs, "Folder": programFolder + "/" + release})
	return page.Bytes(), err
}
