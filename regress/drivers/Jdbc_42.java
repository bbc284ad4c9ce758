// Claim: JDBC passes typed arguments to calls, emits events and reads rows; a setObject without a type is 42P18, with a hint.
import java.sql.*;

public class Jdbc_42 {
	static void check(boolean holds, String what) {
		if (!holds) throw new AssertionError(what);
	}

	public static void main(String[] args) throws Exception {
		String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
		try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), ""); Statement s = c.createStatement()) {
			s.execute("CREATE TABLE IF NOT EXISTS driven (n int, body text)");
			// setInt and setString send types.
			try (PreparedStatement p = c.prepareStatement("SELECT autonomous_exec('INSERT INTO driven VALUES ($1, $2)', ?, ?)")) {
				p.setInt(1, 4);
				p.setString(2, "jdbc");
				p.execute();
			}
			try (PreparedStatement p = c.prepareStatement("SELECT async_event_emit('driven', ?::jsonb)")) {
				p.setString(1, "{\"by\": \"jdbc\"}");
				p.execute();
			}
			try (PreparedStatement p = c.prepareStatement("SELECT * FROM autonomous_query('SELECT n, body FROM driven WHERE n = $1', ?) AS q(n int, body text)")) {
				p.setInt(1, 4);
				ResultSet r = p.executeQuery();
				check(r.next() && r.getInt(1) == 4 && r.getString(2).equals("jdbc"), "the row");
			}
			try (PreparedStatement p = c.prepareStatement("SELECT n FROM async_result(async_exec('SELECT 40 + $1', ?)) AS r(n int)")) {
				p.setInt(1, 2);
				ResultSet r = p.executeQuery();
				check(r.next() && r.getInt(1) == 42, "the task");
			}
			// A timestamp could be one with or without a time zone, so the driver leaves it open.
			try (PreparedStatement p = c.prepareStatement("SELECT autonomous_exec('SELECT $1', ?)")) {
				p.setTimestamp(1, new Timestamp(0));
				p.execute();
				check(false, "no error");
			} catch (SQLException e) {
				check(e.getSQLState().equals("42P18") && e.getMessage().contains("::"), e.getMessage());
			}
		}
		System.out.println("ok");
	}
}
