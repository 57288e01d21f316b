package social

// Live and gone are the states of every edge, entry and message: rows are never taken away when their meaning ends.
const (
	stateGone = 0
	stateLive = 1
)

// The states of an account. Pending: the name is not decided yet. Void: the name went to somebody else.
const (
	accountPending  = 1
	accountLive     = 2
	accountVoid     = 3
	accountDisabled = 4
	accountDeleted  = 5
)

// The kinds of relation, each a one-sided row in the shard of user_id.
const (
	relFollow    = 1 // user follows other; rev is given here and nowhere else
	relFan       = 2 // other follows user; the copy that decides what other is due of user
	relBlock     = 3 // user blocks other
	relBlockedBy = 4 // other blocks user
	relMute      = 5 // user mutes other
)

// relation is a row of user_relation. Absent rows read as the zero value: gone, rev 0.
type relation struct {
	state      int
	rev        int64
	sinceClock int64
	fromMsg    int64
	untilMsg   int64
}

func (r relation) live() bool { return r.state == stateLive }

// stored is a row of msg_info without its counters' volatility: what a message is.
type stored struct {
	id             MessageID
	kind           Kind
	live           bool
	visibility     Visibility // of the message itself; a comment's is its root's
	rootVisibility Visibility
	clock          int64
	timeMS         int64
	parent, origin MessageID // zero on originals
	content        string
	comments       int64 // live ones
	reposts        int64
	likes          int64
	commented      int64 // ever
	transferred    int64
	seq            int64 // a comment's number under its origin, once known; read and written atomically
}
