package social

import (
	"context"
	"testing"

	"socialctl/sharding"
)

// A server that dies, or loses a shard, between the two halves of a claim leaves a name whose account does not know yet
// that it has it. The sign-up is then refused because the name is taken, and its password lets them in.
func TestLogInCompletesASignUpThatGotNoAnswer(t *testing.T) {
	staged(t, nil, func(t *testing.T, b *Backend, clock *stoppedClock) {
		id, _ := pendingAccount(t, b, "Ada")
		hash, err := b.hashPassword(t.Context(), "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		err = b.Cluster.Write(t.Context(), int64(id), func(ctx context.Context, tx *sharding.Tx) error {
			_, err := tx.Exec(ctx, sharding.Key("user_info", b.bucket(id), int64(id)),
				`UPDATE user_info SET password_hash = ? WHERE bucket = ? AND user_id = ?`, hash, b.bucket(id), int64(id))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		bucket := b.Cluster.BucketOfText("ada")
		err = b.Cluster.WriteBucket(t.Context(), bucket, func(ctx context.Context, tx *sharding.Tx) error {
			_, err := tx.Exec(ctx, sharding.Key("user_name", bucket, []byte("ada")),
				`INSERT INTO user_name (bucket, name, user_id, created_ms) VALUES (?, ?, ?, ?)`, bucket, []byte("ada"), int64(id), b.now())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sessions.LogIn(t.Context(), "ada", "battery staple"); CodeOf(err) != CodeCredentialsInvalid {
			t.Fatalf("a wrong password: %v", err)
		}
		if _, err := b.Accounts.SignUp(t.Context(), SignUp{Name: "Ada", Password: "correct horse"}); CodeOf(err) != CodeNameTaken {
			t.Fatalf("signing up again: %v", err)
		}
		granted, err := b.Sessions.LogIn(t.Context(), "ada", "correct horse")
		if err != nil || granted.Account.ID != id {
			t.Fatalf("%v: %+v", err, granted)
		}
		drainOn(t, b, clock)
		checkInvariants(t, b)
	})
}
