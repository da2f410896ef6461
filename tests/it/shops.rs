//! Thank-you pages of real shop systems, read by the recipes that we ship for them.
//!
//! Each file in `conf/examples/shops` is started as it is, with addresses of stand-ins and one more
//! network that hears everything. `tests/data/pages/shops/expected.json` tells what visitors do there,
//! what the shop answers, and what must come of it. A new page needs no Rust.

mod cases;
mod recipe;
mod report;
mod stage;

use std::{collections::BTreeSet, fs, path::Path};

use self::{
    cases::{Case, Expected, PAGES, cases, cases_of},
    recipe::RECIPES,
    stage::Stage,
};

/// Plays all that visitors do in one shop, each of them a new one, and does the accounts.
fn every_page_of(recipe: &str) {
    let stage = Stage::of(recipe);
    let cases = cases_of(recipe);
    assert!(!cases.is_empty(), "{recipe} has no pages");
    for case in &cases {
        stage.play(case);
    }
    stage.balances();
}

/// The same with the order's number gone from wherever it stood: then none may be told.
fn no_number_of(recipe: &str) {
    let stage = Stage::of(recipe);
    let mutilated: Vec<Case> = cases_of(recipe).iter().filter_map(Case::without_its_number).collect();
    assert!(!mutilated.is_empty(), "{recipe} has no page with a number");
    for case in &mutilated {
        stage.walk(case);
    }
    stage.balances();
    for report in stage.reports() {
        assert_eq!(report.order_id, None, "{recipe}: {report:?}");
    }
}

macro_rules! recipes {
    ($($recipe:literal: $reads:ident, $invents:ident;)+) => {
        $(
            #[test]
            fn $reads() {
                every_page_of($recipe);
            }

            #[test]
            fn $invents() {
                no_number_of($recipe);
            }
        )+

        /// All recipes that have tests.
        const TESTED: &[&str] = &[$($recipe),+];
    };
}

recipes! {
    "django-oscar": django_oscar_is_read, without_its_number_django_oscar_has_none;
    "hand-made": a_hand_made_shop_is_read, without_its_number_a_hand_made_shop_has_none;
    "magento1": magento_1_is_read, without_its_number_magento_1_has_none;
    "magento2": magento_2_is_read, without_its_number_magento_2_has_none;
    "opencart": opencart_is_read, without_its_number_opencart_has_none;
    "oscommerce": oscommerce_is_read, without_its_number_oscommerce_has_none;
    "prestashop": prestashop_is_read, without_its_number_prestashop_has_none;
    "shopify": shopify_is_read, without_its_number_shopify_has_none;
    "shopify-classic": the_classic_shopify_is_read, without_its_number_the_classic_shopify_has_none;
    "shopware5": shopware_5_is_read, without_its_number_shopware_5_has_none;
    "shopware6": shopware_6_is_read, without_its_number_shopware_6_has_none;
    "woocommerce": woocommerce_is_read, without_its_number_woocommerce_has_none;
    "zencart": zen_cart_is_read, without_its_number_zen_cart_has_none;
}

#[test]
#[should_panic(expected = "django-oscar-de, step 1")]
fn an_order_that_is_told_otherwise_is_noticed() {
    let mut case = cases_of("django-oscar").into_iter().find(|case| case.name == "django-oscar-de").unwrap();
    for step in &mut case.steps {
        if let Some(Expected::Reported(order)) = &mut step.expect {
            order.value = Some("1234.57".to_owned());
        }
    }
    Stage::of("django-oscar").play(&case);
}

#[test]
fn every_recipe_is_tested_with_two_orders_and_a_refusal() {
    let files = fs::read_dir(RECIPES).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let shipped: BTreeSet<String> =
        files.filter_map(|file| file.strip_suffix(".yaml").map(ToOwned::to_owned)).collect();
    assert_eq!(shipped, TESTED.iter().map(ToString::to_string).collect());
    let list = fs::read_to_string(Path::new(RECIPES).join("README.md")).unwrap();
    for recipe in TESTED {
        assert!(list.contains(&format!("({recipe}.yaml)")), "README.md does not name {recipe}");
    }
    for recipe in TESTED {
        let expected: Vec<Expected> =
            cases_of(recipe).into_iter().flat_map(|case| case.steps).filter_map(|step| step.expect).collect();
        let orders = expected.iter().filter(|expected| matches!(expected, Expected::Reported(_))).count();
        assert!(orders >= 2, "{recipe}: {orders} orders");
        assert!(orders < expected.len(), "{recipe}: every page is an order");
    }
}

#[test]
fn every_page_that_we_keep_is_asked_for() {
    let asked: BTreeSet<String> =
        cases().into_iter().flat_map(|case| case.steps).filter_map(|step| step.answer.file).collect();
    let folders = fs::read_dir(PAGES).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let kept = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| {
        let path = entry.unwrap().path();
        path.strip_prefix(PAGES).unwrap().to_string_lossy().into_owned()
    });
    assert_eq!(kept.collect::<BTreeSet<_>>(), asked);
}
