package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"chartcellar/store"
	"chartcellar/store/disk"
)

const wipeTitle = "Certificate of destruction"

// begun writes, before the first file goes, that a destruction was begun.
func (w *wiping) begun(g store.Wiped) error {
	text := w.text(append(w.lines(g), "This destruction was begun and HAS NOT ENDED as long as this stands here. Run chartcellar wipe again with the same words."))
	if err := w.e.fsys().Mkdir(filepath.Dir(w.paper)); err != nil {
		return fmt.Errorf("make the folder of the certificate: %w", err)
	}
	return disk.Stage(w.e.fsys(), w.paper+".txt", []byte(text))
}

// gone writes the certificate, unless a wipe that was broken off at its very end has.
func (w *wiping) gone(g store.Wiped) error {
	if there, err := disk.Exists(w.e.fsys(), w.paper+".txt"); err != nil || there {
		return err
	}
	lines := append(w.lines(g), fmt.Sprintf("Ended: %s. Each of these files is removed from the folder.", w.when(g.Ended)))
	lines = append(lines, w.limits(g)...)
	lines = append(lines, "Name and signature: ______________________________   Date: ____________")
	page, err := sentencesPDF(wipeTitle, w.s.Practice, g.Ended, lines)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{w.paper + ".pdf": page, w.paper + ".txt": []byte(w.text(lines))} {
		there, err := disk.Exists(w.e.fsys(), name)
		if err == nil && !there { // the PDF may have got its name before a kill
			err = disk.Stage(w.e.fsys(), name, content)
		}
		if err != nil {
			return err
		}
	}
	return commitStaged(w.e.fsys(), w.files())
}

func (w *wiping) when(t time.Time) string {
	return t.In(zoneOf(w.s)).Format("2006-01-02 15:04:05 -0700")
}

// lines say what was destroyed, by whom and where.
func (w *wiping) lines(g store.Wiped) []string {
	list := []string{
		"What: the office copy of the records of this practice, kept by chartcellar. Mirror " + orElse(g.Mirror, "not known (its statement could not be read)") + ".",
		"Where: " + w.data,
		"Medium: " + w.medium,
		fmt.Sprintf("Who: %s. Begun: %s.", orElse(w.by, "not stated"), w.when(g.Started)),
		fmt.Sprintf("Files: %d, with %d bytes. The keys and passphrases among them were overwritten with random bytes before they were removed.", g.Files, g.Bytes),
	}
	if g.Size > 0 {
		list = append(list, fmt.Sprintf("Last signed state: checkpoint %d, log of %d entries, short root %s.", g.Signed, g.Size, g.Root))
	} else {
		list = append(list, "Last signed state: none could be read.")
	}
	if len(w.keys) > 0 {
		list = append(list, "Outside of the folder, overwritten and removed as far as they were there: "+strings.Join(w.keys, ", ")+".")
	}
	return list
}

// limits say what this paper does not promise.
func (w *wiping) limits(g store.Wiped) []string {
	list := []string{
		"What this cannot promise: a solid-state disk spreads its wear and may keep old bytes where no program reaches them, and so may snapshots and backups of this computer. What they keep of the records is encrypted, and opens with a recovery sheet, with a passphrase and the box key, or with a key file. To be certain, destroy the medium, or let its own secure erase run.",
		"What is to be destroyed by hand: the recovery sheets on paper, and files of them; they open every copy of these records that is left.",
		"Second copies at other places were not touched by this: destroy each at its place, or keep it on purpose. Those that the settings name: " + w.copies() + ". Others, written here by the person who signs: ______________________________",
	}
	if w.newer {
		list = append(list, "The records live on in the office copy "+w.s.Data+", which goes on where this one ended.")
	} else {
		list = append(list, "The person named above said that the records are elsewhere or are to be gone; that was not checked.")
	}
	if w.s.Data == w.data {
		list = append(list, "A box key that was sealed for this computer (service install --seal-box-key) is not removed by this. It opens no record.")
	}
	for _, name := range g.Left {
		list = append(list, "Left in the folder, because it is not part of the copy: "+name)
	}
	return list
}

// copies names the second copies of the settings.
func (w *wiping) copies() string {
	var list []string
	for _, c := range w.s.Copies {
		list = append(list, c.Name+" ("+whereOf(c)+")")
	}
	return orElse(strings.Join(list, ", "), "none")
}

// text is the certificate as plain text, at most 78 columns.
func (w *wiping) text(lines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", strings.ToUpper(wipeTitle), w.s.Practice)
	for _, l := range lines {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(wrap(l, 78), "\n"))
	}
	return b.String()
}
