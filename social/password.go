package social

import (
	"context"

	"github.com/alexedwards/argon2id"
)

// argon holds OWASP's second recommended setting for argon2id: 19 MiB, two passes, one lane.
var argon = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// decoy is compared with when there is no such name, so that the answer takes as long as for a wrong password.
const decoy = "$argon2id$v=19$m=19456,t=2,p=1$c29jaWFsY3RsLWRlY295IQ$Z3Vlc3NpbmcgaXMgb2Ygbm8gdXNlIGhlcmUgYXQgYWw"

func checkPassword(password, pointer string) error {
	if len(password) < MinPassword {
		return errorf(CodePasswordWeak, pointer, "a password has at least %d bytes", MinPassword)
	}
	if len(password) > MaxPassword {
		return errorf(CodeTooLong, pointer, "a password has at most %d bytes", MaxPassword)
	}
	return nil
}

func (b *Backend) hashPassword(ctx context.Context, password string) (string, error) {
	select {
	case b.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-b.hashing }()
	return argon2id.CreateHash(password, argon)
}

// passwordMatches takes the same time whether or not there is a hash to compare with.
func (b *Backend) passwordMatches(ctx context.Context, password, hash string) (bool, error) {
	select {
	case b.hashing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-b.hashing }()
	against := hash
	if against == "" {
		against = decoy
	}
	ok, err := argon2id.ComparePasswordAndHash(password, against)
	if err != nil {
		return false, err
	}
	return ok && hash != "", nil
}
