package social

import "time"

// Bounds of the domain that are part of the contract or keep each call's work bounded.
const (
	defaultPage     = 20
	maxPage         = 100
	commentPageSize = 20

	maxNameRunes     = 30
	minPassword      = 8
	maxPassword      = 256
	maxDisplayRunes  = 50
	maxBioRunes      = 500
	bytesPerGrapheme = 16

	// maxTxRows bounds the rows of one write transaction, so that none lasts longer than about 20 ms (DESIGN 4).
	maxTxRows = 500

	// scanFactor bounds how many rows a page may look at for each item it was asked for before it answers short.
	scanFactor = 5
	maxScan    = 400

	keyLife = 24 * time.Hour
)

func (p PageRequest) limit() int {
	if p.Limit <= 0 {
		return defaultPage
	}
	return min(p.Limit, maxPage)
}
