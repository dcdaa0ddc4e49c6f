package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/offsite"
)

// printedPage keeps which second page was printed last.
const printedPage = "second-page"

// A secondPage is the second page of the recovery sheet: where the copies are, how the
// office comes back, and what to revoke when the computer is stolen. No key is on it.
type secondPage struct {
	s     config.Settings
	m     *store.Mirror
	lines []string
}

func secondPageCommand(e *env) *cobra.Command {
	var pdf string
	c := command("second-page", "Print the second page of the recovery sheet: where the copies are, how to restore, what to revoke",
		`The second page carries no key. It says where the second copies are and how they are
reached, the restore step by step with this practice's own values, and what to do when the
computer is stolen. Print it again at each change of a copy or an EMR: status reminds you.`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return e.secondPage(ctx, pdf) })
	c.Flags().StringVar(&pdf, "pdf", "", "write it as a PDF to this file, which must not exist")
	return c
}

func (e *env) secondPage(ctx context.Context, pdf string) error {
	return e.withMirror(ctx, access{doing: "keys second-page", write: true}, func(_ context.Context, s config.Settings, m *store.Mirror) error {
		lines, err := secondPageOf(s, m)
		if err != nil {
			return err
		}
		const title = "Recovery sheet, second page"
		if pdf == "" {
			e.printf("%s\n%s, %s\n\n%s\n", title, s.Practice, e.now().Local().Format("2006-01-02"), strings.Join(lines, "\n"))
		} else {
			file, err := e.abs(pdf)
			if err != nil {
				return err
			}
			content, err := sentencesPDF(title, s.Practice+", "+e.now().Local().Format("2006-01-02"), e.now(), lines)
			if err == nil {
				err = writePrivate(file, content)
			}
			if err != nil {
				return err
			}
			e.printf("Written to %s. Print it, and put it beside the recovery sheet; the older page is not needed any more.\n", file)
		}
		if err := m.Journal(store.Event{Code: "keys.second-page", Account: "owner"}); err != nil {
			return err
		}
		return m.PutSecret(printedPage, []byte(sumOfPage(lines)))
	})
}

func sumOfPage(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// secondPageDue reports whether the page that was printed is not the one of now.
func secondPageDue(s config.Settings, m *store.Mirror) bool {
	if m.ReadOnly() || len(s.Copies) == 0 {
		return false
	}
	lines, err := secondPageOf(s, m)
	if err != nil {
		return false
	}
	printed, err := m.Secret(printedPage)
	return err == nil && string(printed) != sumOfPage(lines)
}

// secondPageOf makes the lines of the page.
func secondPageOf(s config.Settings, m *store.Mirror) ([]string, error) {
	p := &secondPage{s: s, m: m}
	p.say("No key stands on this page. Keep it with the recovery sheet, and a copy of both at another place.")
	if err := p.places(); err != nil {
		return nil, err
	}
	p.restore()
	if err := p.stolen(); err != nil {
		return nil, err
	}
	p.head("WHICH MIRROR")
	p.say("Mirror %s", m.ID())
	p.say("SHA-256 of mirror/000001.json: %s", m.FirstHash())
	p.say("Log key: %s", m.LogKey())
	return p.lines, nil
}

func (p *secondPage) say(format string, a ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, a...))
}

func (p *secondPage) head(text string) {
	p.lines = append(p.lines, "", text)
}

// places says how each copy is reached.
func (p *secondPage) places() error {
	p.head("WHERE THE SECOND COPIES ARE")
	if len(p.s.Copies) == 0 {
		p.say("There is none. If the office burns, the records are gone.")
	}
	for _, c := range p.s.Copies {
		switch {
		case c.Folder != "" && c.Disks > 1:
			p.say("%s: %d USB disks that take turns, plugged in at %s. The one that is out lies at: ____________________", c.Name, c.Disks, c.Folder)
		case c.Folder != "":
			p.say("%s: the disk or folder %s. It lies at: ____________________", c.Name, c.Folder)
		case c.SFTP != "":
			o, err := sftpOf(c.SFTP)
			if err != nil {
				return err
			}
			p.say("%s: SFTP server %s, user %s, path %s", c.Name, o.Addr, o.User, o.Path)
			p.say("   fingerprint of the server: %s", c.HostKey)
			p.say("   password, or where a key for it is kept: ____________________")
			p.say("   provider's own page, and the account's name there: ____________________")
		default:
			p.say("%s: bucket %s, region %s, access key %s", c.Name, c.S3, orElse(c.Region, "(none)"), c.AccessKey)
			p.say("   secret key, or where it is kept: ____________________")
			p.say("   provider's own page, and the account's name there: ____________________")
		}
	}
	return nil
}

// restore is the procedure with the practice's own values (P132).
func (p *secondPage) restore() {
	p.head("HOW THE OFFICE COMES BACK, ON A NEW COMPUTER")
	p.say("1. Get the program: from the folder \"%s\" of a disk above, or from whoever looks after your computers.", programFolder)
	p.say("2. Have the first page, with the key, at hand. In a terminal:")
	from := "THE-PLACE"
	if len(p.s.Copies) > 0 {
		c := p.s.Copies[0]
		switch {
		case c.Folder != "":
			from = c.Folder
		case c.SFTP != "":
			from = "sftp://" + c.SFTP + " --host-key " + c.HostKey
		default:
			from = c.S3 + " --access-key " + c.AccessKey
		}
	}
	p.say("   chartcellar restore --from %s --to NEW-FOLDER", from)
	p.say("   It asks for the lines of the key, brings everything, and checks every byte.")
	p.say("3. To read charts at once: chartcellar serve --read-only NEW-FOLDER")
	p.say("4. To go on with it, with the lines of the first page typed into a file FILE:")
	p.say("   chartcellar adopt --data NEW-FOLDER --sheet FILE --statement %s", p.m.FirstHash()[:32])
	for i, src := range p.s.Sources {
		p.say("%d. Sign in to the EMR again: chartcellar connect renew %s; give what it prints to the vendor of %s.", 5+i, src.Name, hostOf(src.Base))
	}
	p.say("%d. chartcellar sync, then chartcellar serve.", 5+len(p.s.Sources))
}

// removeLine is what ends the sign-in to an SFTP server.
const removeLine = "remove this line from authorized_keys, or change the password. Call: ____________________"

// stolen says whom to call and what to revoke.
func (p *secondPage) stolen() error {
	p.head("IF THE COMPUTER IS STOLEN")
	if p.s.KeyFile != "" {
		p.say("THE RECORDS CAN BE READ BY THE THIEF: the office key lies in clear on that computer.")
	} else {
		p.say("The thief cannot read a record without a passphrase. But until you revoke it, the computer can sign in to:")
	}
	for _, src := range p.s.Sources {
		p.say("- the EMR at %s, as client %s: have the vendor revoke that client's key or secret. Call: ____________________", hostOf(src.Base), orElse(src.ClientID, "(none)"))
	}
	for _, c := range p.s.Copies {
		switch {
		case c.SFTP != "":
			line, err := publicLineOf(p.m, c)
			if err != nil {
				return err
			}
			p.say("- the second copy %s, as %s: %s", c.Name, c.SFTP, removeLine)
			if line != "" {
				p.say("   %s", line)
			}
		case c.S3 != "":
			p.say("- the second copy %s: revoke the access key %s. Call: ____________________", c.Name, c.AccessKey)
		}
	}
	for _, h := range p.s.Holdings {
		if h.SFTP == "" {
			continue
		}
		line, err := publicLineOf(p.m, atServer(h))
		if err != nil {
			return err
		}
		p.say("- the server with the files of %s, as %s: %s", h.Name, h.SFTP, removeLine)
		if line != "" {
			p.say("   %s", line)
		}
	}
	if p.s.Alerts.SMTPUser != "" {
		p.say("- the mail account %s: change its password.", p.s.Alerts.SMTPUser)
	}
	p.say("Tell your privacy officer the day and hour; the access log and this page say what was on it.")
	return nil
}

// publicLineOf is the public key for an SFTP place; "" if it has none.
func publicLineOf(m *store.Mirror, c config.Copy) (string, error) {
	key, err := m.Secret(copyKeyName(c))
	if err != nil || key == nil {
		return "", err
	}
	return offsite.PublicLine(key, "chartcellar-"+c.Name)
}
