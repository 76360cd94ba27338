-- What a reviewer's login role may do: act through functions, see no table. {role}, {database} are quoted identifiers.

-- name: admit_reviewer
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA review TO {role};
GRANT EXECUTE ON FUNCTION review.held_nights, review.approve_night, review.open_pairs, review.project_of_pair,
    review.decide_pair TO {role};
