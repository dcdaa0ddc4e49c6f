package main

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
)

func signingKeyCommand(e *env) *cobra.Command {
	var o keyOptions
	c := command("signing-key [NAME]", "Print, check or change the key with which this computer signs in",
		`Without a flag it prints the public key (JWKS) for the vendor's form, or for a file
on the practice's web site; nothing secret is in it.

--check looks at the web address where you put it, as the vendor will.

To change the key:  signing-key NAME --rotate   makes a second one and prints both.
Publish both, then: signing-key NAME --check URL, or --pasted if the vendor's form
has them. A day later, or when the vendor's computers have surely seen the new one,
sync signs in with it by itself; if the vendor does not know it yet, the old one is
taken again. The old one can go another day later.`,
		cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error { return e.signingKey(ctx, strings.Join(a, ""), o) })
	f := c.Flags()
	f.StringVar(&o.alg, "alg", "", "RS384 or ES384; the default is what the EMR takes, RS384 first")
	f.StringVar(&o.check, "check", "", "web address of the published key set")
	f.BoolVar(&o.rotate, "rotate", false, "make the next key")
	f.BoolVar(&o.pasted, "pasted", false, "the vendor's form has both keys now")
	f.StringVar(&o.ca, "ca", "", "with --check: file of a certificate authority to trust")
	f.BoolVar(&o.local, "local", false, "with --check: the address is on the office network")
	return c
}

type keyOptions struct {
	alg, check, ca        string
	rotate, pasted, local bool
}

func (e *env) signingKey(ctx context.Context, name string, o keyOptions) error {
	if o.alg != "" && o.alg != "RS384" && o.alg != "ES384" {
		return usage("--alg must be RS384 or ES384")
	}
	if o.rotate && (o.pasted || o.check != "") {
		return usage("--rotate first; --check or --pasted when both keys are published")
	}
	change := o.alg != "" || o.check != "" || o.rotate || o.pasted
	return e.withMirror(ctx, access{doing: "connect signing-key", write: change}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(name)
		if err != nil && name == "" {
			return usage(err.Error())
		}
		connected := err == nil
		if connected {
			name = src.Name
		}
		ring, err := sourceRing(m, name, o.alg)
		if err != nil {
			return err
		}
		switch {
		case o.check != "":
			return e.checkPublished(ctx, m, name, ring, o)
		case o.pasted:
			return e.confirmPasted(m, name, ring)
		case o.rotate:
			if err := ring.Rotate(orElse(o.alg, ring.Current.Alg())); err != nil {
				return err
			}
			err = errors.Join(keepRing(m, name, ring), m.Journal(store.Event{Code: "source.key", Account: "owner", Key: store.Key{Source: name}}),
				e.changed(m, notice{code: "source.key", by: "owner", source: name}))
			fmt.Fprintf(e.Stderr, "Publish both keys. Then: chartcellar connect signing-key %s --check URL, or --pasted.\n", name)
		case o.alg != "" && o.alg != ring.Current.Alg() && connected:
			return usage("this EMR is connected with a key for " + ring.Current.Alg() + "; use --rotate --alg " + o.alg)
		case o.alg != "" && o.alg != ring.Current.Alg():
			if ring, err = smart.NewRing(o.alg); err == nil {
				err = keepRing(m, name, ring)
			}
		}
		if err != nil {
			return err
		}
		return e.printKeys(ring)
	})
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (e *env) printKeys(ring *smart.Ring) error {
	jwks, err := smart.JWKS(ring.Published()...)
	if err == nil {
		e.printf("%s\n", jwks)
	}
	return err
}

// sourceRing returns the signing keys of a source and makes one if need be; alg ""
// is RS384.
func sourceRing(m *store.Mirror, name, alg string) (*smart.Ring, error) {
	b, err := m.Secret(name + ".signing")
	if err != nil {
		return nil, err
	}
	if b != nil {
		return smart.ParseRing(b)
	}
	ring, err := smart.NewRing(orElse(alg, "RS384"))
	if err != nil {
		return nil, err
	}
	return ring, keepRing(m, name, ring)
}

func keepRing(m *store.Mirror, name string, ring *smart.Ring) error {
	b, err := ring.Marshal()
	if err != nil {
		return err
	}
	return m.PutSecret(name+".signing", b)
}

// checkPublished looks at a published set, and takes it as the word that both keys
// of a rotation can be seen.
func (e *env) checkPublished(ctx context.Context, m *store.Mirror, name string, ring *smart.Ring, o keyOptions) error {
	if o.ca != "" {
		var err error
		if o.ca, err = e.abs(o.ca); err != nil {
			return err
		}
	}
	cache, err := e.published(ctx, o, ring)
	if err != nil {
		return err
	}
	ring.URL, ring.CA, ring.Local, ring.Checked, ring.Wrong = o.check, o.ca, o.local, e.now(), false
	e.printf("The set at that address is right: it holds %s.\n", map[bool]string{true: "both keys", false: "this computer's key"}[len(ring.Published()) > 1])
	if ring.Next != nil {
		ring.Confirm(e.now(), cache)
		e.printf("The first sync after %s signs in with the new key.\n", ring.Due.Local().Format("2006-01-02 15:04"))
	}
	return keepRing(m, name, ring)
}

func (e *env) confirmPasted(m *store.Mirror, name string, ring *smart.Ring) error {
	if ring.Next == nil {
		return usage("no change of the key is under way; begin it with --rotate")
	}
	ring.Confirm(e.now(), 0)
	e.printf("The first sync after %s signs in with the new key.\n", ring.Due.Local().Format("2006-01-02 15:04"))
	return keepRing(m, name, ring)
}

// published fetches a set as a vendor would, compares it with the ring, and says
// for how long a vendor may keep it.
func (e *env) published(ctx context.Context, o keyOptions, ring *smart.Ring) (cache time.Duration, err error) {
	u, err := url.Parse(o.check)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return 0, usage("write the address of the key set with https:// in front")
	}
	r := rest.Options{Base: u.Scheme + "://" + u.Host, Local: o.local, Rate: -1, Tries: 1, UserAgent: "chartcellar/" + release, Log: e.logger()}
	if o.ca != "" {
		if r.CA, err = os.ReadFile(o.ca); err != nil {
			return 0, fmt.Errorf("read the certificate authority: %w", err)
		}
	}
	c, err := rest.New(r)
	if err != nil {
		return 0, err
	}
	defer c.CloseIdle()
	resp, err := c.Do(ctx, rest.Request{URL: o.check, Accept: "application/jwk-set+json, application/json", NoToken: true,
		Class: "published key set", MaxBody: 1 << 20})
	again := "Put there what this prints, and check again: chartcellar connect signing-key"
	switch {
	case rest.Is(err, rest.NotFound, rest.Gone):
		return 0, &plainError{exitFailed, "There is nothing at that address (HTTP 404).", nothingLost, again}
	case rest.Is(err, rest.NotFHIR):
		return 0, &plainError{exitFailed, "At that address is a web page, and no key set.", nothingLost, again}
	case err != nil:
		p := *explain(err)
		p.What = strings.ReplaceAll(p.What, "The EMR", "The web site of the key set")
		return 0, &p
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "application/jwk-set+json" {
		return 0, &plainError{exitFailed, fmt.Sprintf("The web site sends the set as %q. Some vendors take only application/json.", resp.Header.Get("Content-Type")), nothingLost,
			"Give the file a name that ends in .json, or set the type on the web server."}
	}
	return cacheOf(resp.Header), setWords(smart.CheckSet(resp.Body, ring.Published()...), again)
}

// setWords say what is wrong with a set.
func setWords(err error, again string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, smart.ErrPrivate):
		return &plainError{exitFailed, "DANGER: the set at that address holds a private key: whoever reads it can sign in as the practice.", nothingLost,
			"Take it down now, tell the vendor, and make a new key: chartcellar connect signing-key NAME --rotate"}
	case errors.Is(err, smart.ErrStale):
		return &plainError{exitFailed, "The set at that address is an older one: it lacks a key of this computer.", nothingLost, again}
	case errors.Is(err, smart.ErrTwice):
		return &plainError{exitFailed, "Two keys in the set at that address have the same name (kid).", nothingLost, again}
	}
	return &plainError{exitFailed, "What is at that address is no key set.", nothingLost, again}
}

// cacheOf is how long a reply may be kept by whoever fetches it.
func cacheOf(h http.Header) time.Duration {
	for _, part := range strings.Split(h.Get("Cache-Control"), ",") {
		if age, ok := strings.CutPrefix(strings.TrimSpace(strings.ToLower(part)), "max-age="); ok {
			if n, err := strconv.Atoi(age); err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, 30*24*time.Hour)
			}
		}
	}
	return 0
}

// signingKeys readies the keys of a source for a sign-in: the kind that the EMR
// takes, a switch that is due, the old key to fall back on.
func (e *env) signingKeys(ctx context.Context, m *store.Mirror, name string, conf smart.Configuration, o *smart.Options) error {
	ring, err := sourceRing(m, name, conf.Alg())
	if err != nil {
		return err
	}
	if alg := ring.Current.Alg(); len(conf.Algs) > 0 && !slices.Contains(conf.Algs, alg) && slices.Contains(conf.Algs, conf.Alg()) {
		return &plainError{exitFailed, fmt.Sprintf("The EMR takes keys for %s, and this computer's key is for %s.", strings.Join(conf.Algs, ", "), alg), nothingLost,
			fmt.Sprintf("Make one of the right kind and give it to the vendor: chartcellar connect signing-key %s --alg %s (with --rotate, if the EMR is in the settings already)", name, conf.Alg())}
	}
	e.lookAgain(ctx, m, name, ring)
	switch now := e.now(); {
	case ring.Switch(now):
		if err := keepRing(m, name, ring); err != nil {
			return err
		}
		e.logger().InfoContext(ctx, "signing key switched", "source", name)
		fmt.Fprintf(e.Stderr, "From now on this computer signs in to %s with its new key. Leave the old one published until %s.\n",
			name, now.Add(max(ring.Cache, smart.Overlap)).Local().Format("2006-01-02 15:04"))
	case ring.Settle(now):
		if err := keepRing(m, name, ring); err != nil {
			return err
		}
		fmt.Fprintf(e.Stderr, "The old key of %s is not needed any more: it may be taken down.\n", name)
	}
	o.Key, o.FallBack = ring.Current, ring.FallBack(e.now())
	o.RolledBack = func() error {
		ring.RollBack()
		e.logger().WarnContext(ctx, "signing key rolled back", "source", name)
		fmt.Fprintf(e.Stderr, "%s does not know the new key yet; this computer signs in with the old one.\nCheck where the keys are published: chartcellar connect signing-key %s --check URL, or --pasted\n", name, name)
		return keepRing(m, name, ring)
	}
	return nil
}

// lookAgain looks at the published set before a switch and once a week. What is
// wrong there is said, holds a switch up, and stops no run.
func (e *env) lookAgain(ctx context.Context, m *store.Mirror, name string, ring *smart.Ring) {
	now := e.now()
	due := ring.Next != nil && !ring.Due.IsZero() && !now.Before(ring.Due)
	if ring.URL == "" || !due && now.Sub(ring.Checked) < 7*24*time.Hour {
		return
	}
	_, err := e.published(ctx, keyOptions{check: ring.URL, ca: ring.CA, local: ring.Local}, ring)
	if err != nil {
		ring.Due = time.Time{}
		fmt.Fprintf(e.Stderr, "The published key of %s: %s\n%s\n", name, explain(err).What, explain(err).Next)
	}
	ring.Checked, ring.Wrong = now, err != nil
	if err := keepRing(m, name, ring); err != nil {
		e.logger().WarnContext(ctx, "look at the published key not noted", "source", name)
	}
}
