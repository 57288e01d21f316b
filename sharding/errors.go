package sharding

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// UnavailableError says that a database could not be reached or did not answer in time; trying later may help.
type UnavailableError struct {
	Where string // the shard or "meta"
	Err   error
}

func (e *UnavailableError) Error() string { return e.Where + " is away: " + e.Err.Error() }

// Unwrap returns the driver's error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// UnknownOutcomeError says that the connection was lost on COMMIT: the transaction may have been applied or not.
// Only reading the state again tells.
type UnknownOutcomeError struct {
	Where string
	Err   error
}

func (e *UnknownOutcomeError) Error() string {
	return "the outcome of a transaction on " + e.Where + " is unknown: " + e.Err.Error()
}

// Unwrap returns the driver's error.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// EpochError says that a shard's epoch was seen going down: it lost committed transactions. Writes to that shard stop
// until an operator has looked.
type EpochError struct {
	Shard    ShardID
	Seen, Is int64
}

func (e *EpochError) Error() string {
	return fmt.Sprintf("shard %d is at epoch %d and was seen at %d: it has lost transactions, writes to it are stopped", e.Shard, e.Is, e.Seen)
}

// NotOpenError names the buckets of a write that the shard does not have open now: fenced for a moment, or gone.
type NotOpenError struct {
	Shard  ShardID
	Fenced []Bucket
	Gone   map[Bucket]ShardID // to where
}

func (e *NotOpenError) Error() string {
	return fmt.Sprintf("shard %d has %d buckets fenced and %d moved away", e.Shard, len(e.Fenced), len(e.Gone))
}

// ErrNotInitialised says that the meta database holds no cluster yet.
var ErrNotInitialised = errors.New("this cluster has no shards yet: run `socialctl shard init`")

// retryable reports whether running the whole transaction again may succeed at once: deadlock, lock wait, busy.
func retryable(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1213 || my.Number == 1205 || my.Number == 1020
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code() & 0xff
		return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
	}
	return false
}

// away reports whether the error is the database's absence and not the statement's fault.
func away(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var netErr net.Error
	if errors.As(err, &netErr) {
		return true
	}
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		switch my.Number {
		case 1040, 1053, 1077, 1079, 1129, 1203, 1226, 1290, 1317, 1836, 1927, 1969, 2006, 2013, 3024:
			return true
		}
	}
	return strings.Contains(err.Error(), "bad connection")
}

// duplicate reports whether the error is a violated unique key.
func duplicate(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1062
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
	}
	return false
}

// IsDuplicate reports whether err is a violated primary or unique key.
func IsDuplicate(err error) bool { return duplicate(err) }
