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

//go:embed static/app.css static/app.js static/keys.js static/htmx.min.js static/icon.svg
var staticFiles embed.FS

// An asset is a file that never changes under its name.
type asset struct {
	kind string
	data []byte
}

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
			".svg": "image/svg+xml"}[ext]
		if kind == "" {
			kind = mime.TypeByExtension(ext)
		}
		a.byName[name], a.hashed[e.Name()] = asset{kind, data}, name
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
	r.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	return s.send(r, http.StatusOK, a.kind, a.data)
}
