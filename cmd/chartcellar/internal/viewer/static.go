package viewer

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static/*.css static/*.js static/*.mjs static/icon.svg
var staticFiles embed.FS

// An asset is a file of the pages.
type asset struct {
	kind  string
	data  []byte
	fixed bool // it never changes under its name
}

// fetchedByName is how names of files end that pdf.js fetches under their own name.
const fetchedByName = "_nowasm_fallback.js"

// assets are the files by the name that holds their hash, and those names.
type assets struct {
	byName map[string]asset
	hashed map[string]string
}

func loadAssets() (assets, error) {
	a := assets{map[string]asset{}, map[string]string{}}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return a, fmt.Errorf("read the assets: %w", err)
	}
	for _, e := range entries {
		data, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return a, fmt.Errorf("read the assets: %w", err)
		}
		ext := path.Ext(e.Name())
		name := fmt.Sprintf("%s.%x%s", strings.TrimSuffix(e.Name(), ext), sha256.Sum256(data), ext)
		kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
			".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[ext]
		if kind == "" {
			kind = mime.TypeByExtension(ext)
		}
		a.byName[name], a.hashed[e.Name()] = asset{kind, data, true}, name
		if strings.HasSuffix(e.Name(), fetchedByName) {
			a.byName[e.Name()] = asset{kind, data, false}
		}
	}
	return a, nil
}

// path returns the address of an asset; a name that does not exist is our own bug.
func (a assets) path(name string) (string, error) {
	if a.hashed[name] == "" {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return "/static/" + a.hashed[name], nil
}

func (s *Server) serveAsset(r *request) error {
	a, ok := s.assets.byName[r.PathValue("name")]
	if !ok {
		return ErrNotFound
	}
	if a.fixed {
		r.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	return s.send(r, http.StatusOK, a.kind, a.data)
}
