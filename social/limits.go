package social

import "time"

// Bounds of the contract.
const (
	DefaultPage     = 20  // entries of a list unless told
	MaxPage         = 100 // entries of a list at most
	CommentPageSize = 20  // comments on a fixed page

	MaxNameRunes     = 30
	MinPassword      = 8   // bytes
	MaxPassword      = 256 // bytes
	MaxDisplayRunes  = 50  // extended grapheme clusters, as of the next
	MaxBioRunes      = 500
	BytesPerGrapheme = 16 // at most, on the average of a text
)

// Bounds that keep each call's work bounded.
const (
	// maxTxRows bounds the rows of one write transaction, so that none lasts longer than about 20 ms (DESIGN 4).
	maxTxRows = 500

	// scanFactor bounds how many rows a page may look at for each item it was asked for before it answers short.
	scanFactor = 5
	maxScan    = 400

	keyLife = 24 * time.Hour
)

func (p PageRequest) limit() int {
	if p.Limit <= 0 {
		return DefaultPage
	}
	return min(p.Limit, MaxPage)
}
