-- What a custodian's content role may do: fill staging (columns named, so that loader is the server's word), and
-- publish what it staged. {role} is quoted as an identifier, {role_name} and {custodian} as literals.

-- name: admit_content_loader
INSERT INTO content.custodian (custodian, loader_role) VALUES ({custodian}, {role_name})
ON CONFLICT (custodian) DO UPDATE SET loader_role = excluded.loader_role;
GRANT USAGE ON SCHEMA warehouse, content TO {role};
GRANT SELECT ON warehouse.migration, warehouse.definition TO {role};
GRANT EXECUTE ON FUNCTION content.empty_staging, content.publish_content, content.seal_people TO {role};

-- name: admit_to_database
GRANT CONNECT ON DATABASE {database} TO {role};

-- name: admit_to_admission
GRANT INSERT (record_pseudonym, admitted, discharged, diagnosis_code) ON content.admission_staging TO {role};

-- name: admit_to_dispensing
GRANT INSERT (record_pseudonym, dispensed, atc_code, quantity) ON content.dispensing_staging TO {role};
