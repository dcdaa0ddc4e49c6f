// Package font holds the typefaces of what is printed: DejaVu, whose licence is
// beside them. They cover the scripts of most names; what they lack prints as an
// empty box.
package font

import _ "embed"

// The faces, as TrueType files.
var (
	//go:embed DejaVuSansCondensed.ttf
	Text []byte
	//go:embed DejaVuSansCondensed-Bold.ttf
	Bold []byte
	//go:embed DejaVuSansMono.ttf
	Mono []byte
)
