-- Role: LANGUAGE plpgsql_autonomous. In C: c-shim/language/handler.c.

CREATE FUNCTION aside.plpgsql_call() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME', 'aside_plpgsql_call';
COMMENT ON FUNCTION aside.plpgsql_call() IS 'Call handler of LANGUAGE plpgsql_autonomous.';
CREATE FUNCTION aside.plpgsql_inline(internal) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_inline';
COMMENT ON FUNCTION aside.plpgsql_inline(internal) IS 'Runs DO blocks of LANGUAGE plpgsql_autonomous.';
CREATE FUNCTION aside.plpgsql_validate(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_validate';
COMMENT ON FUNCTION aside.plpgsql_validate(oid) IS 'Validator of LANGUAGE plpgsql_autonomous.';

CREATE TRUSTED LANGUAGE plpgsql_autonomous
    HANDLER aside.plpgsql_call INLINE aside.plpgsql_inline VALIDATOR aside.plpgsql_validate;
COMMENT ON LANGUAGE plpgsql_autonomous IS 'PL/pgSQL whose routines each run in an autonomous transaction';
REVOKE ALL ON LANGUAGE plpgsql_autonomous FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql_autonomous TO aside_user;
