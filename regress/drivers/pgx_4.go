// Claim: pgx passes typed arguments to calls, emits events and reads rows; what it sends without a type is 42P18, with a hint.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

func main() {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, "")
	must(err)
	defer c.Close(ctx)
	run := func(sql string, args ...interface{}) { _, err := c.Exec(ctx, sql, args...); must(err) }
	run("CREATE TABLE IF NOT EXISTS driven (n int, body text)")
	// pgx asks the server for the types, which asks for them: each argument is cast.
	run("SELECT autonomous_exec('INSERT INTO driven VALUES ($1, $2)', $1::int, $2::text)", 5, "pgx")
	run("SELECT async_event_emit('driven', $1)", map[string]string{"by": "pgx"})
	var n int
	var body string
	must(c.QueryRow(ctx, "SELECT * FROM autonomous_query('SELECT n, body FROM driven WHERE n = $1', $1::int) AS q(n int, body text)", 5).Scan(&n, &body))
	var answer int
	must(c.QueryRow(ctx, "SELECT n FROM async_result(async_exec('SELECT 40 + $1', $1::int)) AS r(n int)", 2).Scan(&answer))
	if n != 5 || body != "pgx" || answer != 42 {
		log.Fatal(n, body, answer)
	}
	_, err = c.Exec(ctx, "SELECT autonomous_exec('INSERT INTO driven VALUES (1, $1)', $1)", "untyped")
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "42P18" || !strings.Contains(e.Hint, "::text") {
		log.Fatal("not 42P18 with a hint: ", err)
	}
	fmt.Fprintln(os.Stdout, "ok")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
