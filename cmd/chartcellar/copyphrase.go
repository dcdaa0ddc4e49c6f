package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
)

// phraseName is where a copy has what its phrase opens; in that copy, and only there.
const phraseName = "slots/copy-000001.age"

func copyPhraseCommand(e *env) *cobra.Command {
	return command("phrase NAME", "Give a second copy six words that open it, beside the recovery sheet",
		`phrase makes six words that open this one copy without the sheet, and prints them once.
They are for whoever carries the disk, or for a safe at another place. They cannot be
changed: a new phrase means a new folder. No sign-in password ever opens a copy.`,
		cobra.ExactArgs(1), func(ctx context.Context, a []string) error { return e.copyPhrase(ctx, a[0]) })
}

func (e *env) copyPhrase(ctx context.Context, name string) error {
	return e.withMirror(ctx, access{doing: "copy phrase", write: true, key: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		c, err := s.Copy(name)
		if err != nil {
			return usage(err.Error())
		}
		p, err := e.openPlace(ctx, m, c)
		if err != nil {
			return err
		}
		defer p.Close() // nothing is open there any more
		if held, err := offsite.Read(ctx, p); err != nil {
			return err
		} else if held.Empty() || held.First != m.FirstHash() {
			return usage("there is no copy of this mirror at " + c.Name + " yet; first: chartcellar copy now " + c.Name)
		}
		phrase, err := keys.NewPhrase()
		if err != nil {
			return err
		}
		file, err := m.SealToPhrase(phrase)
		if err != nil {
			return err
		}
		if err := m.Journal(store.Event{Code: "copy.phrase", Account: "owner", Key: store.Key{Source: c.Name}}); err != nil {
			return err
		}
		err = p.Put(ctx, phraseName, int64(len(file)), bytes.NewReader(file))
		if errors.Is(err, offsite.ErrExists) {
			return usage("this copy has a phrase already, which cannot be changed; make a copy in a new folder for a new one")
		}
		if err != nil {
			return err
		}
		e.printf("The phrase of the second copy %s. Write it down now; it is shown only once:\n\n    %s\n\nWhoever has it and that copy can read every record in it.\n", c.Name, phrase)
		return nil
	})
}

// isPhrase tells the six words of a copy from the lines of a sheet.
func isPhrase(typed string) bool {
	return len(strings.Fields(typed)) == 6 && keys.PhraseWord(typed) == 0
}

// phraseKey asks for the phrase of a copy, and returns the key it opens.
func (e *env) phraseKey(ctx context.Context, p offsite.Place) (age.Identity, error) {
	phrase, err := e.askSecret("CHARTCELLAR_PHRASE", "The six words of this copy")
	if err != nil {
		return nil, err
	}
	return e.openWith(ctx, p, phrase)
}

// openWith returns the key that the phrase of a copy opens.
func (e *env) openWith(ctx context.Context, p offsite.Place, phrase string) (age.Identity, error) {
	r, err := p.Get(ctx, phraseName)
	if errors.Is(err, offsite.ErrNotThere) && !errors.Is(err, offsite.ErrAway) {
		return nil, &plainError{exitLocked, "The copy at this place has no phrase.", "Nothing was written.", "Open it with the recovery sheet."}
	}
	if err != nil {
		return nil, err
	}
	defer r.Close() // read only
	file, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("read what the phrase opens: %w", err)
	}
	id, err := keys.OpenPhrase(file, phrase)
	if errors.Is(err, keys.ErrWrongPassword) {
		p := &plainError{exitLocked, "These words do not open this copy.", "Nothing was written.", "Each copy has words of its own. Without them, the recovery sheet opens it."}
		if n := keys.PhraseWord(phrase); n > 0 {
			p.Next = fmt.Sprintf("Word %d is none of the list: look at it again. %s", n, p.Next)
		}
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}
